// Perf-buffer checks that each event of a perf buffer comes to the channel once, or is among those
// that are reported as lost.
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
	seen := make(map[uint64]bool)
	missing := uint64(0)
	for len(seen) < 1000 {
		if err := selftest.Syscall(); err != nil {
			return err
		}
		select {
		case event := <-events:
			if len(event) != 12 || seen[binary.NativeEndian.Uint64(event)] {
				return fmt.Errorf("event %x", event)
			}
			seen[binary.NativeEndian.Uint64(event)] = true
		case n := <-lost:
			missing += n
		}
	}
	if missing == 0 {
		for n := range uint64(500) {
			if !seen[n] {
				return fmt.Errorf("event %d is missing, though none is lost", n)
			}
		}
	}
	buffer.Stop()
	if err := buffer.Err(); err != nil {
		return err
	}
	buffer.Close()
	return nil
}
