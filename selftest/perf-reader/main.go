// Perf-reader checks that events of a perf buffer come with their CPU, and that lost ones are counted.
package main

import (
	_ "embed"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	runtime.LockOSThread()
	var one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &one); err != nil {
		return err
	}
	cpu := 0
	for !one.IsSet(cpu) {
		cpu++
	}
	one.Zero()
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	events, err := module.GetMap("events")
	if err != nil {
		return err
	}
	reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 1})
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	for range 1000 { // more than a page holds
		if err := selftest.Syscall(); err != nil {
			return err
		}
	}
	received, lost := 0, uint64(0)
	for lost == 0 {
		record, err := reader.Read()
		if err != nil {
			return err
		}
		if record.CPU == cpu && record.LostSamples == 0 {
			received++
		}
		lost += record.LostSamples
		if err := selftest.Syscall(); err != nil {
			return err
		}
	}
	if received == 0 || lost < 500 {
		return fmt.Errorf("%d events came from CPU %d, %d were lost", received, cpu, lost)
	}
	return nil
}
