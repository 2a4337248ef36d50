// Perf-offline checks what becomes of a perf buffer when a CPU is switched off: its events that came before
// are read, and a buffer that is made meanwhile does without the CPU.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
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

// sendOn makes the program send an event on a CPU.
func sendOn(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	return selftest.Syscall()
}

func run() (err error) {
	if os.Getenv("SELFTEST_VM") == "" {
		reason := errors.New("a CPU is switched off only in a virtual machine, by make vmtest")
		return selftest.Skip(reason, reason)
	}
	runtime.LockOSThread()
	const switchFile = "/sys/devices/system/cpu/cpu1/online"
	online := func(state string) error { return os.WriteFile(switchFile, []byte(state), 0) }
	if err := online("1"); err != nil {
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
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	newReader := func(buffers int) (*bpf.PerfReader, error) {
		reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 1})
		if err == nil && reader.BufferCount() != buffers {
			err = errors.Join(fmt.Errorf("%d buffers, want %d", reader.BufferCount(), buffers), reader.Close())
		}
		return reader, err
	}
	// The CPUs that the events come from, until there are no more.
	want := func(when string, reader *bpf.PerfReader, cpus ...int) error {
		got := make(map[int]int)
		if _, err := reader.Consume(func(record bpf.PerfRecord) error {
			got[record.CPU]++
			return nil
		}); err != nil {
			return err
		}
		for _, cpu := range cpus {
			if got[cpu] == 0 {
				return fmt.Errorf("%s: no event of CPU %d in %v", when, cpu, got)
			}
		}
		if len(got) != len(cpus) {
			return fmt.Errorf("%s: events came by CPU %v, want %d", when, got, cpus)
		}
		return nil
	}

	reader, err := newReader(2)
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := errors.Join(sendOn(1), sendOn(0)); err != nil {
		return err
	}
	if err := online("0"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, online("1")) }()
	if err := want("after CPU 1 was switched off", reader, 0, 1); err != nil {
		return err
	}
	if err := selftest.Syscall(); err != nil {
		return err
	}
	if err := want("while CPU 1 is off", reader, 0); err != nil {
		return err
	}
	if err := reader.Close(); err != nil {
		return err
	}

	without, err := newReader(1)
	if err != nil {
		return err
	}
	defer without.Close()
	if err := online("1"); err != nil {
		return err
	}
	before, err := selftest.Hits(module, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(sendOn(1), sendOn(0)); err != nil {
		return err
	}
	if after, err := selftest.Hits(module, 0); err != nil || after == before {
		return fmt.Errorf("the program could send an event on a CPU that has no buffer, %w", err)
	}
	return want("after CPU 1 was switched on", without, 0)
}
