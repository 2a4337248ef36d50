// Map-settings checks that size and value size of a map are what is set before the load, and that a
// map can be left out.
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
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		elements, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		leftOut, err := module.GetMap("left_out")
		if err != nil {
			return err
		}
		return errors.Join(elements.SetMaxEntries(2), elements.SetValueSize(100), leftOut.SetAutocreate(false))
	})
	if err != nil {
		return err
	}
	defer module.Close()
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}
	info, err := bpf.GetMapInfoByFD(elements.FileDescriptor())
	if err != nil || info.MaxEntries != 2 || info.ValueSize != 100 || info.Name != "elements" {
		return fmt.Errorf("the kernel has %+v, %v", info, err)
	}
	if err := elements.SetMaxEntries(3); !errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("resizing after the load gives %v", err)
	}
	for key := range uint32(3) {
		value := [100]byte{99: byte(key)}
		err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value))
		if key == 2 != errors.Is(err, syscall.E2BIG) {
			return fmt.Errorf("element %d gives %v", key, err)
		}
	}
	leftOut, err := module.GetMap("left_out")
	if err != nil {
		return err
	}
	if key := uint32(1); leftOut.DeleteKey(unsafe.Pointer(&key)) == nil {
		return errors.New("a map that was left out has elements")
	}
	return nil
}
