// Map-percpu checks the layout of an element with a value for each CPU, in all kinds of maps that have such.
package main

import (
	"bytes"
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
	for name, deleted := range map[string]error{
		"hash": nil, "lru_hash": nil, "array": syscall.EINVAL, // an array keeps all of its elements
	} {
		if err := use(module, name, deleted); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// use checks the map of that name, and that deleting an element gives deleted.
func use(module *bpf.Module, name string, deleted error) error {
	elements, err := module.GetMap(name)
	if err != nil {
		return err
	}
	cpus, err := bpf.NumPossibleCPUs()
	if err != nil {
		return err
	}
	const each = 16 // 12 bytes, rounded up to 8
	key := uint32(1)
	values := make([]byte, cpus*each)
	for cpu := range cpus {
		binary.NativeEndian.PutUint32(values[cpu*each:], uint32(cpu+1))
	}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&values[0])); err != nil {
		return err
	}
	// The program sees the value of the CPU that it runs on.
	ret, err := selftest.RunProg(module, "use_"+name)
	if err != nil || ret == 0 || int(ret) > cpus {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	got, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(values[int(ret-1)*each+8:], 1000)
	if !bytes.Equal(got, values) {
		return fmt.Errorf("the values are %x, want %x", got, values)
	}
	if err := elements.UpdateElem(make([]byte, 4), values[1:], 0); !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("a value that is too short gives %v", err)
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, deleted) {
		return fmt.Errorf("deleting gives %v, want %v", err, deleted)
	}
	return nil
}
