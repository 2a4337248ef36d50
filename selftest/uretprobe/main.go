// Uretprobe checks that a program runs when a function of a process returns, and sees its result
// and the cookie that it was attached with.
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
	err = selftest.Calls(object, 1, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachURetprobe(os.Getpid(), path, offset)
	}, selftest.CallFunction)
	if err != nil {
		return err
	}
	return selftest.Calls(object, 1+selftest.Cookie, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachURetprobeWithOpts(os.Getpid(), path, offset, selftest.Cookie)
	}, selftest.CallFunction)
}
