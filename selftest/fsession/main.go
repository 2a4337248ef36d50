// Fsession checks that a program runs when a function of the kernel is entered and when it returns.
package main

import (
	_ "embed"
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
	return selftest.Calls(object, 2, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachTraceOpts(bpf.TraceOpts{})
	}, selftest.Syscall, syscall.EINVAL, syscall.EPERM) // before Linux 7.0, or where tracing is locked
}
