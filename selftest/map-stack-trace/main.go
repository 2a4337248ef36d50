// Map-stack-trace checks that the process reads the stack that a program has taken of it.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
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

	if err := module.AttachPrograms(); err != nil {
		return err
	}
	if err := selftest.Syscall(); err != nil {
		return err
	}
	stacks := 0
	it := elements.Iterator()
	for it.Next() {
		key := binary.NativeEndian.Uint32(it.Key())
		stack, err := elements.GetValue(unsafe.Pointer(&key))
		if err != nil {
			return err
		}
		// The kernel's addresses are in the upper half.
		if address := binary.NativeEndian.Uint64(stack); len(stack) != 128 || address>>63 != 1 {
			return fmt.Errorf("stack %d begins with %#x", key, address)
		}
		stacks++
	}
	if err := it.Err(); err != nil || stacks == 0 {
		return fmt.Errorf("%d stacks, %v", stacks, err)
	}
	return nil
}
