// Struct-ops checks that a TCP congestion control of BPF programs is registered and used by a
// connection.
package main

import (
	_ "embed"
	"errors"
	"syscall"

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
			// 524 is ENOTSUPP, which is the kernel's own.
			return selftest.Skip(err, syscall.Errno(524), syscall.EINVAL)
		}
		defer module.Close()
		congestion, err := module.GetMap("congestion")
		if err != nil {
			return err
		}
		attached := false
		return selftest.Effect(module, func() (func() error, error) {
			link, err := congestion.AttachStructOps()
			if err != nil {
				return nil, selftest.Skip(err, syscall.Errno(524), syscall.EOPNOTSUPP)
			}
			attached = true
			return func() error {
				attached = false
				return link.Destroy()
			}, nil
		}, func() error {
			err := selftest.ConnectBy("bpf_selftest")
			if !attached && errors.Is(err, syscall.ENOENT) {
				return nil
			}
			return err
		})
	})
}
