// Uretprobe-multi checks that a program runs when one of several functions returns, and sees its result and the
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
	offsets, results := []uint64{first, second}, []uint64{42, 43}
	opts := func(opts bpf.UprobeMultiOpts) func(*bpf.BPFProg) (*bpf.BPFLink, error) {
		opts.Cookies, opts.Retprobe = results, true
		return func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachUprobeMultiOpts(os.Getpid(), path, "", opts)
		}
	}
	for _, attach := range []func(*bpf.BPFProg) (*bpf.BPFLink, error){
		opts(bpf.UprobeMultiOpts{Offsets: offsets}),
		opts(bpf.UprobeMultiOpts{Symbols: []string{"selftest_function", "selftest_other_function"}}),
		func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachURetprobeMulti(os.Getpid(), path, offsets, results)
		},
	} {
		err := selftest.Calls(object, 42+43, attach, selftest.CallFunction, syscall.EINVAL) // before Linux 6.6
		if err != nil {
			return err
		}
	}
	return nil
}
