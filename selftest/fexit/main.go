// Fexit checks that a program runs when a function of the kernel returns, and sees argument and
// result.
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
	module, err := selftest.Load(object)
	if err != nil {
		return selftest.Skip(err, errNotSupported, syscall.EPERM)
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	return selftest.Effect(module, func() (func() error, error) {
		link, err := prog.AttachGeneric()
		return selftest.Attached(link, selftest.Skip(err, errNotSupported, syscall.EOPNOTSUPP))
	}, func() error {
		// The kernel runs its test functions.
		return prog.Run(&bpf.RunOpts{})
	})
}

// errNotSupported is ENOTSUPP, which is the kernel's own.
const errNotSupported = syscall.Errno(524)
