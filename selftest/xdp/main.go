// Xdp checks that a program sees the packets of a network interface.
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
		return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachXDP("lo")
		}, selftest.Datagram)
	})
}
