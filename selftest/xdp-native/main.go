// Xdp-native checks that a program runs in the driver of a network interface.
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
		if err := selftest.MakePair("veth", "veth0", "veth1"); err != nil {
			return err
		}
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
			err := prog.AttachXDPLegacy("veth1", bpf.XDPFlagsDrvMode)
			return func() error { return prog.DetachXDPLegacy("veth1", bpf.XDPFlagsDrvMode) }, err
		}, func() error { return selftest.Across("veth0", "veth1") })
	})
}
