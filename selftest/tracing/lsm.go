package tracing

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func lsm(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.EffectWhile(module, func() (func() error, error) {
		link, err := prog.AttachLSM()
		return link.Destroy, err
	}, func(attached bool) error {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == nil {
			syscall.Close(fd)
		}
		if errors.Is(err, syscall.EPERM) != attached {
			return fmt.Errorf("opening a file returns %v", err)
		}
		return nil
	})
}

// secret is a global variable, so that its address doesn't change.
var secret = uint64(0x1234567812345678)

func lsmSleepable(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog", func(module *bpf.Module) error {
		if err := module.InitGlobalVariable("secret", secret); err != nil {
			return err
		}
		return module.InitGlobalVariable("address", uint64(uintptr(unsafe.Pointer(&secret))))
	})
	if err != nil {
		return err
	}
	defer module.Close()
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
