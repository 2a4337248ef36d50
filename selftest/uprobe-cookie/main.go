// Uprobe-cookie checks that a program gets the cookie that it was attached with.
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
	path, offset, err := selftest.Function("selftest_function")
	if err != nil {
		return err
	}
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachUprobeWithOpts(os.Getpid(), path, offset, selftest.Cookie)
	}, selftest.CallFunction)
}
