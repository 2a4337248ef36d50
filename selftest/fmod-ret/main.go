// Fmod-ret checks that what a program returns is returned in the place of a function of the kernel.
package main

import (
	_ "embed"
	"os"
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
	return selftest.Denied(object, "prog", func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachTraceOpts(bpf.TraceOpts{})
	}, func() error {
		_, err := syscall.Getpgid(os.Getpid())
		return err
	}, syscall.EACCES, syscall.EPERM)
}
