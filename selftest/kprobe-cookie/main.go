// Kprobe-cookie checks that a program gets the cookie that it was attached with.
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
		return prog.AttachKprobeOpts("security_task_getpgid", bpf.KprobeOpts{Cookie: selftest.Cookie})
	}, selftest.Syscall, selftest.KprobeRefusals()...)
}
