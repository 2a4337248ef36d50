// Perf-buffer checks that each event of a perf buffer comes to the channel once, as soon as it is sent.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object)
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
			// The kernel pads it.
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
