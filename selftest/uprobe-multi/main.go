// Uprobe-multi checks that a program runs when one of several functions is entered, and gets the
// cookie of that one.
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
	path, first, err := selftest.Function("selftest_function")
	if err != nil {
		return err
	}
	_, second, err := selftest.Function("selftest_other_function")
	if err != nil {
		return err
	}
	cookies := []uint64{1000, 1}
	for _, opts := range []bpf.UprobeMultiOpts{
		{Offsets: []uint64{first, second}, Cookies: cookies},
		{Symbols: []string{"selftest_function", "selftest_other_function"}, Cookies: cookies},
	} {
		err := selftest.Calls(object, 1001, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachUprobeMultiOpts(os.Getpid(), path, "", opts)
		}, selftest.CallFunction, syscall.EINVAL) // before Linux 6.6
		if err != nil {
			return err
		}
	}
	return nil
}
