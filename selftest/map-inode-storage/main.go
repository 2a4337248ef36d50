// Map-inode-storage checks that the process reads, by a descriptor of it, what a program stores with a file,
// and the other way round.
package main

import (
	_ "embed"
	"os"
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
	file, err := os.CreateTemp("", "inode")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := module.AttachPrograms(); err != nil {
		return selftest.Skip(err, syscall.Errno(524))
	}
	return selftest.Storage(module, int(file.Fd()), func() error {
		again, err := os.Open(file.Name())
		if err != nil {
			return err
		}
		return again.Close()
	})
}
