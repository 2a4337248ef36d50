// Raw-tp-cookie checks that a program gets the cookie that it was attached with at a raw tracepoint.
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
		return prog.AttachRawTracepointOpts("sys_enter", bpf.RawTracepointOpts{Cookie: selftest.Cookie})
	}, selftest.Syscall, syscall.EINVAL)
}
