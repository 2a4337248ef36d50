// Map-lpm checks that a trie finds the longest prefix.
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

	type key struct {
		length  uint32
		address [4]byte
	}
	for i, k := range []key{{8, [4]byte{10}}, {16, [4]byte{10, 1}}, {32, [4]byte{10, 1, 2, 3}}} {
		value := uint32(i + 1)
		if err := elements.Update(unsafe.Pointer(&k), unsafe.Pointer(&value)); err != nil {
			return err
		}
	}
	for address, want := range map[[4]byte]uint32{{10, 2, 0, 1}: 1, {10, 1, 9, 9}: 2, {10, 1, 2, 3}: 3} {
		got, err := elements.GetValue(unsafe.Pointer(&key{32, address}))
		if err != nil || binary.NativeEndian.Uint32(got) != want {
			return fmt.Errorf("%v is found as %x, %v", address, got, err)
		}
	}
	if _, err := elements.GetValue(unsafe.Pointer(&key{32, [4]byte{11}})); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("an address without a prefix gives %v", err)
	}
	return nil
}
