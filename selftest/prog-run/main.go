// Prog-run checks that a program gets a packet that the process has made, and gives it back changed.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
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
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	packet := make([]byte, 60)
	packet[13] = 41
	opts := bpf.RunOpts{DataIn: packet, DataSizeIn: 60, DataOut: make([]byte, 60), DataSizeOut: 60, Repeat: 5}
	if err := prog.Run(&opts); err != nil {
		return err
	}
	const tx = 3 // XDP_TX
	if opts.RetVal != tx || len(opts.DataOut) != 60 || opts.DataOut[0] != 42 || packet[0] != 0 {
		return fmt.Errorf("%+v", opts)
	}
	if n, err := selftest.Hits(module, 0); err != nil || n != 5 {
		return fmt.Errorf("the program ran %d times, %v", n, err)
	}
	opts = bpf.RunOpts{DataIn: packet, DataSizeIn: 60, DataOut: make([]byte, 10), DataSizeOut: 10}
	if err := prog.Run(&opts); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("without room for the packet: %v", err)
	}
	return nil
}
