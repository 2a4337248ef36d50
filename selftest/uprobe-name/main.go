// Uprobe-name checks that a program runs when a function is entered that libbpf has found by its name.
package main

import (
	_ "embed"
	"os"

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
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachUprobeOpts(os.Getpid(), path, 0, bpf.UprobeOpts{FuncName: "selftest_function"})
	}, selftest.CallFunction)
}
