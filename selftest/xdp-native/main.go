// Xdp-native checks that a program runs in the driver of a network interface, which a link
// chooses by itself, or behind it, as the flags say.
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
		legacy := func(flags bpf.XDPFlags) func() (func() error, error) {
			return func() (func() error, error) {
				err := prog.AttachXDPLegacy("veth1", flags)
				return func() error { return prog.DetachXDPLegacy("veth1", flags) }, err
			}
		}
		for _, test := range []struct {
			mode   byte
			attach func() (detach func() error, err error)
		}{
			{selftest.XDPDriver, legacy(bpf.XDPFlagsDrvMode)},
			{selftest.XDPGeneric, legacy(bpf.XDPFlagsSkbMode)},
			{selftest.XDPDriver, func() (func() error, error) { return selftest.Attached(prog.AttachXDP("veth1")) }},
		} {
			err := selftest.Effect(module, func() (func() error, error) {
				detach, err := test.attach()
				if err == nil {
					err = selftest.WantXDP("veth1", test.mode)
				}
				return detach, err
			}, func() error { return selftest.Across("veth0", "veth1") })
			if err != nil {
				return err
			}
		}
		return nil
	})
}
