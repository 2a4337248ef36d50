// Netkit checks that programs decide on what the interfaces of a netkit pair send.
package main

import (
	_ "embed"

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
	return selftest.InNetwork(func() error {
		if err := selftest.MakePair("netkit", "nk0", "nk1"); err != nil {
			return err
		}
		for program, ends := range map[string][2]string{"primary": {"nk0", "nk1"}, "peer": {"nk1", "nk0"}} {
			err := selftest.Denied(object, program, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
				return prog.AttachNetkit("nk0", bpf.OrderOpts{})
			}, func() error { return selftest.Across(ends[0], ends[1]) }, unix.ENOBUFS)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
