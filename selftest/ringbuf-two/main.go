// Ringbuf-two checks that the records of two rings in one buffer come to their channels.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
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
	first, second := make(chan []byte), make(chan []byte, 10)
	buffer, err := module.InitRingBuf("first", first)
	if err != nil {
		return err
	}
	buffer.Poll(300)
	if added, err := module.AddRingBuf(buffer, "second", second); !added || err != nil {
		return fmt.Errorf("the second ring was added: %v, %v", added, err)
	}
	for round := range uint64(20) {
		if _, err := selftest.RunProg(module, "prog"); err != nil {
			return err
		}
		for i := range uint64(100) {
			n := round*100 + i
			if record := <-second; binary.NativeEndian.Uint64(record) != ^n {
				return fmt.Errorf("record %d of the second ring is %x", n, record)
			}
		}
		// The first channel, which nobody read until now, has held up nothing.
		for i := range uint64(100) {
			n := round*100 + i
			if record := <-first; binary.NativeEndian.Uint64(record) != n {
				return fmt.Errorf("record %d of the first ring is %x", n, record)
			}
		}
	}
	buffer.Stop()
	if _, open := <-first; open {
		return errors.New("the channel is open after Stop")
	}
	return buffer.Err()
}
