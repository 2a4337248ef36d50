// Xdp-legacy checks that a program that is attached by netlink sees the packets of a network
// interface.
package main

import (
	_ "embed"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InNetwork(func() error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		return selftest.Effect(module, func() (func() error, error) {
			err := prog.AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode)
			return func() error { return prog.DetachXDPLegacy("lo", bpf.XDPFlagsSkbMode) }, err
		}, selftest.Datagram)
	})
}
