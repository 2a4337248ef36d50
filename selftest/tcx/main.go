// Tcx checks that a program sees what a network interface sends, and that another one that is put
// before it decides first.
package main

import (
	_ "embed"
	"errors"
	"fmt"

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
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		drop, err := module.GetProgram("drop")
		if err != nil {
			return err
		}
		err = selftest.Effect(module, func() (func() error, error) {
			link, err := prog.AttachTCX("lo", bpf.OrderOpts{})
			// Kernels before 6.6 don't know this kind of link.
			return selftest.Attached(link, selftest.Skip(err, unix.EINVAL))
		}, selftest.Datagram)
		if err != nil {
			return err
		}

		if _, err := prog.AttachTCX("lo", bpf.OrderOpts{}); err != nil {
			return err
		}
		first, err := drop.AttachTCX("lo", bpf.OrderOpts{Flags: bpf.BPFFBefore, RelativeFd: prog.FileDescriptor()})
		if err != nil {
			return err
		}
		before, err := selftest.Hits(module, 0)
		if err != nil {
			return err
		}
		if err := selftest.Datagram(); !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("a datagram that is dropped gives %w", err)
		}
		if after, err := selftest.Hits(module, 0); err != nil || after != before {
			return fmt.Errorf("%d calls behind the program that drops, %v", after-before, err)
		}
		if err := first.Destroy(); err != nil {
			return err
		}
		return selftest.Datagram()
	})
}
