// Netfilter checks that a program decides on what is sent.
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
			const localOut = 3 // NF_INET_LOCAL_OUT
			return prog.AttachNetfilter(bpf.NetfilterOpts{ProtocolFamily: unix.AF_INET, Hook: localOut, Priority: -1})
		}, selftest.Datagram, unix.EPERM, unix.EINVAL)
	})
}
