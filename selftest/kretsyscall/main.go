// Kretsyscall checks that a program runs when a system call returns, and sees what.
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
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachKsyscall("getpgid", bpf.KsyscallOpts{Retprobe: true})
	}, selftest.FailingSyscall, selftest.KprobeRefusals()...)
}
