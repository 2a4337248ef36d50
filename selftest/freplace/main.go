// Freplace checks that a program runs in the place of a function of another one.
package main

import (
	_ "embed"
	"fmt"
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
	autoload := func(name string) func(*bpf.Module) error {
		return func(module *bpf.Module) error {
			prog, err := module.GetProgram(name)
			if err != nil {
				return err
			}
			return prog.SetAutoload(true)
		}
	}
	module, err := selftest.Load(object, autoload("target"))
	if err != nil {
		return err
	}
	defer module.Close()
	target, err := module.GetProgram("target")
	if err != nil {
		return err
	}
	extension, err := selftest.Load(object, autoload("prog"), func(module *bpf.Module) error {
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		return prog.SetAttachTarget(target.FileDescriptor(), "replaceable")
	})
	if err != nil {
		return selftest.Skip(err, syscall.EPERM)
	}
	defer extension.Close()
	prog, err := extension.GetProgram("prog")
	if err != nil {
		return err
	}
	want := uint32(1)
	return selftest.Effect(extension, func() (func() error, error) {
		link, err := prog.AttachFreplace(target.FileDescriptor(), "replaceable")
		if err != nil {
			return nil, err
		}
		want = 2
		return func() error {
			want = 1
			return link.Destroy()
		}, nil
	}, func() error {
		opts := bpf.RunOpts{DataIn: make([]byte, 14), DataSizeIn: 14}
		if err := target.Run(&opts); err != nil {
			return err
		}
		if opts.RetVal != want {
			return fmt.Errorf("the function returns %d, want %d", opts.RetVal, want)
		}
		return nil
	})
}
