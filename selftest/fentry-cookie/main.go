// Fentry-cookie checks that a program gets the cookie that it was attached with at a function of the
// kernel.
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
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachTraceOpts(bpf.TraceOpts{Cookie: selftest.Cookie})
	}, selftest.Syscall, syscall.EPERM)
}
