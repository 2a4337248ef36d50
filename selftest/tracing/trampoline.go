package tracing

import (
	"fmt"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// atTestFunction checks a program at one of the kernel's test functions. The kernel calls them when a program that is
// attached there gets a test run.
func atTestFunction(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.Effect(module, func() (func() error, error) {
		return selftest.Attached(prog.AttachGeneric())
	}, func() error {
		return prog.Run(&bpf.RunOpts{})
	})
}

func freplace(t *selftest.Test) error {
	autoload := func(name string) func(*bpf.Module) error {
		return func(module *bpf.Module) error {
			prog, err := module.GetProgram(name)
			if err != nil {
				return err
			}
			return prog.SetAutoload(true)
		}
	}
	module, target, err := t.LoadProgram("target", autoload("target"))
	if err != nil {
		return fmt.Errorf("load the program whose function is replaced: %v", err) // %v: never a refusal
	}
	defer module.Close()
	extension, err := t.Load(autoload("prog"), func(module *bpf.Module) error {
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		return prog.SetAttachTarget(target.FileDescriptor(), "replaceable")
	})
	if err != nil {
		return err
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
