// Map-insn-array checks that the process learns from a map where the instructions of a program, which it has
// put into it, are after the load.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

// An instruction is a struct bpf_insn_array_value: the numbers of an instruction before and after the load,
// and where it is in machine code.
type instruction struct {
	original, translated, compiled, _ uint32
}

func run() error {
	if err := selftest.NeedMap(bpf.MapTypeInsnArray); err != nil {
		return err
	}
	elements, err := bpf.CreateMap(bpf.MapTypeInsnArray, "elements", 4, int(unsafe.Sizeof(instruction{})), 2, nil)
	if err != nil {
		return err
	}
	defer elements.Close()
	for key, original := range []uint32{0, 2} {
		key, value := uint32(key), instruction{original: original}
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
		if got, err := lookup(elements, key); err != nil || got != value {
			return fmt.Errorf("before the load, element %d is %+v, %v", key, got, err)
		}
		if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("deleting element %d gives %v", key, err)
		}
	}
	if err := freeze(elements); err != nil {
		return err
	}
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		own, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		return own.ReuseFD(elements.FileDescriptor())
	})
	if err != nil {
		return err
	}
	defer module.Close()
	got, err := lookup(elements, 1)
	if err != nil || got.translated != 2 || got.compiled == 0 {
		return fmt.Errorf("after the load, element 1 is %+v, %v", got, err)
	}
	return nil
}

func lookup(elements *bpf.BPFMapLow, key uint32) (instruction, error) {
	value, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil {
		return instruction{}, err
	}
	return *(*instruction)(unsafe.Pointer(&value[0])), nil
}

// freeze forbids the process to change a map, as the kernel wants it before it is used.
func freeze(elements *bpf.BPFMapLow) error {
	fd := uint32(elements.FileDescriptor())
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_FREEZE, uintptr(unsafe.Pointer(&fd)), unsafe.Sizeof(fd)); errno != 0 {
		return fmt.Errorf("freeze: %w", errno)
	}
	return nil
}
