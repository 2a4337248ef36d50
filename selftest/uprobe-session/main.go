// Uprobe-session checks that a program runs when functions are entered, and when they return.
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
	path, err := os.Executable()
	if err != nil {
		return err
	}
	return selftest.Calls(object, 4, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachUprobeMultiOpts(os.Getpid(), path, "selftest_*function", bpf.UprobeMultiOpts{Session: true})
	}, selftest.CallFunction, syscall.EINVAL) // before Linux 6.13
}
