// Sk-lookup checks that a program is asked for the socket of a packet.
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
			return prog.AttachNetns("/proc/thread-self/ns/net")
		}, selftest.Datagram)
	})
}
