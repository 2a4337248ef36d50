// Xdp-drop checks that packets which a program drops do not arrive.
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
		return selftest.Denied(object, "prog", func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachXDP("lo")
		}, selftest.Datagram, unix.EAGAIN)
	})
}
