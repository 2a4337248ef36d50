// Kprobe-session checks that a program runs when a function of the kernel is entered and when it
// returns.
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
	// Kernels before 6.10 don't know this kind of link.
	refusals := append(selftest.KprobeRefusals(), syscall.EINVAL)
	return selftest.Calls(object, 2, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachKprobeMultiOpts("security_task_getpgid", bpf.KprobeMultiOpts{Session: true})
	}, selftest.Syscall, refusals...)
}
