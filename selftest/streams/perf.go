package streams

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func perfBuffer(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	events, lost := make(chan []byte, 100), make(chan uint64, 100)
	buffer, err := module.InitPerfBuf("events", events, lost, 8)
	if err != nil {
		return err
	}
	buffer.Poll(300)
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	for number := range uint64(1000) {
		if err := selftest.Syscall(); err != nil {
			return err
		}
		select {
		case event := <-events:
			// The kernel pads the event of 8 bytes to 12.
			if len(event) != 12 || binary.NativeEndian.Uint64(event) != number {
				return fmt.Errorf("event %x, want number %d", event, number)
			}
		case n := <-lost:
			return fmt.Errorf("%d events are lost at number %d", n, number)
		}
	}
	buffer.Stop()
	if err := buffer.Err(); err != nil {
		return err
	}
	buffer.Close()
	return nil
}

func perfReader(t *selftest.Test) error {
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
	module, events, err := t.LoadMap("events")
	if err != nil {
		return err
	}
	defer module.Close()
	reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 1})
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	for range 1000 { // more than fit into a page
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
		switch {
		case record.CPU != cpu: // a thread of the runtime, whose system calls can fill its CPU's buffer as well
		case record.LostSamples == 0:
			received++
		default:
			lost += record.LostSamples
		}
		if err := selftest.Syscall(); err != nil {
			return err
		}
	}
	if received == 0 || lost < 500 {
		return fmt.Errorf("%d events came from CPU %d, %d were lost", received, cpu, lost)
	}
	return nil
}
