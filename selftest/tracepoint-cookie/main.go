// Tracepoint-cookie checks that a program gets the cookie that it was attached with at a tracepoint.
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
		return prog.AttachTracepointOpts("syscalls", "sys_enter_getpgid", bpf.TracepointOpts{Cookie: selftest.Cookie})
	}, selftest.Syscall)
}
