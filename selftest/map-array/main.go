// Map-array checks that an array map has all its elements from the beginning, and keeps them.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

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

	key, value := uint32(2), uint32(7)
	got, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint32(got) != 0 {
		return fmt.Errorf("a new element is %x, %v", got, err)
	}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("deleting gives %v", err)
	}
	key = 3
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); !errors.Is(err, syscall.E2BIG) {
		return fmt.Errorf("an element beyond the end gives %v", err)
	}
	return nil
}
