// Cgroup-skb checks that a program sees what comes in for the processes of a cgroup.
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
		return selftest.InCgroup(func(path string) error {
			return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
				return prog.AttachCgroup(path)
			}, selftest.Datagram)
		})
	})
}
