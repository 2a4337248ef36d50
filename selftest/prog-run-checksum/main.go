// Prog-run-checksum checks that running a program tells whether it has left the packet's checksum wrong.
package main

import (
	_ "embed"
	"errors"
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
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	check := func(name string, flags bpf.RunFlag) error {
		prog, err := module.GetProgram(name)
		if err != nil {
			return err
		}
		opts := bpf.RunOpts{DataIn: make([]byte, 60), DataSizeIn: 60, Flags: flags}
		if err := prog.Run(&opts); err != nil || opts.RetVal != 0 {
			return fmt.Errorf("the result of %q with flags %d is %d: %w", name, flags, opts.RetVal, err)
		}
		return nil
	}
	if err := errors.Join(check("right", 0), check("wrong", 0)); err != nil {
		return err
	}
	if err := check("right", bpf.RunFlagSKBChecksumComplete); err != nil {
		return selftest.Skip(fmt.Errorf("check the checksum, which Linux 6.11 can: %w", err), syscall.EINVAL)
	}
	if err := check("wrong", bpf.RunFlagSKBChecksumComplete); !errors.Is(err, syscall.EBADMSG) {
		return fmt.Errorf("a wrong checksum gives %v", err)
	}
	return nil
}
