// Arena checks that a program and the process use the same memory.
package main

import (
	_ "embed"
	"errors"
	"fmt"
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

func run() error {
	address := uint64(1 << 44)
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		arena, err := module.GetMap("arena")
		if err != nil {
			return err
		}
		return errors.Join(arena.SetMapExtra(address), module.InitGlobalVariable("address", address))
	})
	if err != nil {
		return selftest.Skip(err, syscall.EINVAL) // before Linux 6.9
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	number := *(**uint64)(unsafe.Pointer(&address))
	*number = 41
	err = selftest.Effect(module, func() (func() error, error) {
		return selftest.Attached(prog.AttachGeneric())
	}, selftest.Syscall)
	if err == nil && *number != 42 {
		err = fmt.Errorf("the number is %d", *number)
	}
	return err
}
