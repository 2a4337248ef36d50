// Cgroup-legacy checks that a program that is attached without a link sees what the processes of a
// cgroup send.
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
				return prog.AttachCgroupLegacy(path, bpf.BPFAttachTypeCgroupInetEgress)
			}, selftest.Datagram)
		})
	})
}
