// Lsm-sleepable checks that a program at a security hook, which may sleep, reads the memory of the
// process.
package main

import (
	_ "embed"
	"os"
	"syscall"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

// secret doesn't move.
var secret = uint64(0x1234567812345678)

func run() error {
	if err := selftest.NeedLSM(); err != nil {
		return err
	}
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		if err := module.InitGlobalVariable("secret", secret); err != nil {
			return err
		}
		return module.InitGlobalVariable("address", uint64(uintptr(unsafe.Pointer(&secret))))
	})
	if err != nil {
		return selftest.Skip(err, syscall.EPERM)
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	return selftest.Effect(module, func() (func() error, error) {
		return selftest.Attached(prog.AttachLSM())
	}, func() error {
		file, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		return file.Close()
	})
}
