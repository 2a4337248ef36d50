// Map-reuse checks that two modules share a map by its descriptor.
package main

import (
	_ "embed"
	"fmt"
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
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}

	other, err := selftest.Load(object, func(module *bpf.Module) error {
		own, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		return own.ReuseFD(elements.FileDescriptor())
	})
	if err != nil {
		return err
	}
	defer other.Close()
	key, value := uint32(1), uint32(7)
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	module.Close()
	if ret, err := selftest.RunProg(other, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	return nil
}
