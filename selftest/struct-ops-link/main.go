// Struct-ops-link checks that a TCP congestion control of BPF programs is put in the place of another
// one.
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
	return selftest.InNetwork(func() error {
		module, err := selftest.Load(object)
		if err != nil {
			// 524 is ENOTSUPP, which is the kernel's own; there is no such link before Linux 6.4.
			return selftest.Skip(err, syscall.Errno(524), syscall.EINVAL)
		}
		defer module.Close()
		first, err := module.GetMap("first")
		if err != nil {
			return err
		}
		second, err := module.GetMap("second")
		if err != nil {
			return err
		}
		link, err := first.AttachStructOps()
		if err != nil {
			return err
		}
		if err := expect(module, 1, 0); err != nil {
			return err
		}
		if err := link.UpdateMap(second); err != nil {
			return err
		}
		if err := expect(module, 1, 1); err != nil {
			return err
		}
		if err := link.Destroy(); err != nil {
			return err
		}
		if err := selftest.ConnectBy("bpf_selftest"); !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("after the link is gone, connecting gives %v", err)
		}
		return nil
	})
}

// expect makes a connection and checks how many each of the two was used by.
func expect(module *bpf.Module, first, second uint64) error {
	if err := selftest.ConnectBy("bpf_selftest"); err != nil {
		return err
	}
	for key, want := range []uint64{first, second} {
		if n, err := selftest.Hits(module, uint32(key)); err != nil || n != want {
			return fmt.Errorf("congestion control %d was used %d times instead of %d, %v", key, n, want, err)
		}
	}
	return nil
}
