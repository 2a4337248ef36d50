// Generic checks that all programs of an object are attached by their sections, except one that is
// left out, and detached.
package main

import (
	_ "embed"
	"fmt"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		prog, err := module.GetProgram("left_out")
		if err == nil {
			prog.SetAutoattach(false)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer module.Close()
	err = selftest.Effect(module, func() (func() error, error) {
		return module.DetachPrograms, module.AttachPrograms()
	}, selftest.Syscall)
	if err != nil {
		return err
	}
	if n, err := selftest.Hits(module, 1); err != nil || n != 0 {
		return fmt.Errorf("the program that was left out ran %d times, %v", n, err)
	}
	return nil
}
