// Xdp-drop checks that packets which a program drops do not arrive.
package main

import (
	_ "embed"
	"errors"
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
		attached := false
		return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			attached = true
			return prog.AttachXDP("lo")
		}, func() error {
			err := selftest.Datagram()
			if attached && errors.Is(err, syscall.EAGAIN) {
				attached = false // from now on
				return nil
			}
			return err
		})
	})
}
