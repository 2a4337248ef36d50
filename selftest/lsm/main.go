// Lsm checks that a program decides whether a file may be opened.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"syscall"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	if err := selftest.NeedLSM(); err != nil {
		return err
	}
	module, err := selftest.Load(object)
	if err != nil {
		// 524 is ENOTSUPP, which is the kernel's own.
		return selftest.Skip(err, syscall.EPERM, syscall.Errno(524))
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	attached := false
	return selftest.Effect(module, func() (func() error, error) {
		link, err := prog.AttachLSM()
		if err != nil {
			return nil, selftest.Skip(err, syscall.Errno(524))
		}
		attached = true
		return func() error {
			attached = false
			return link.Destroy()
		}, nil
	}, func() error {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == nil {
			syscall.Close(fd)
		}
		if errors.Is(err, syscall.EPERM) != attached {
			return fmt.Errorf("opening a file gives %v", err)
		}
		return nil
	})
}
