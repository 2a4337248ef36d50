// Map-hash checks that the process and a program see what the other one writes to a hash map.
package main

import (
	_ "embed"
	"encoding/binary"
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
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}

	key, value := uint32(1), uint64(1)<<40
	if _, err := elements.GetValue(unsafe.Pointer(&key)); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("an element that isn't there gives %v", err)
	}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 0 {
		return fmt.Errorf("the program returns %d, %v", ret, err)
	}
	key = 2
	got, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint64(got) != 2*value {
		return fmt.Errorf("the program has written %x, %v", got, err)
	}
	for key := uint32(3); ; key++ {
		err := elements.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&value), bpf.MapFlagUpdateNoExist)
		if errors.Is(err, syscall.E2BIG) && key == 5 {
			break // four elements are there
		}
		if err != nil || key == 5 {
			return fmt.Errorf("element %d gives %v", key, err)
		}
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); err != nil {
		return err
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("deleting twice gives %v", err)
	}
	return nil
}
