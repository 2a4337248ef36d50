// Tc checks that a program at a TC hook sees what a network interface sends, and can be queried.
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
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		hook := module.TcHookInit()
		hook.SetInterfaceByIndex(selftest.Loopback)
		hook.SetAttachPoint(bpf.BPFTcEgress)
		if err := hook.Create(); err != nil {
			return selftest.Skip(err, syscall.ENOENT) // no clsact
		}
		err = selftest.Effect(module, func() (func() error, error) {
			opts := &bpf.TcOpts{ProgFd: prog.FileDescriptor()}
			if err := hook.Attach(opts); err != nil {
				return nil, selftest.Skip(err, syscall.ENOENT) // no cls_bpf
			}
			query := &bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}
			if err := hook.Query(query); err != nil || query.ProgId != opts.ProgId {
				return nil, fmt.Errorf("the hook has program %d instead of %d, %v", query.ProgId, opts.ProgId, err)
			}
			return func() error { return hook.Detach(&bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}) }, nil
		}, selftest.Datagram)
		return errors.Join(err, hook.Destroy())
	})
}
