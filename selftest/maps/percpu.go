package maps

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func percpu(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	for name, deleted := range map[string]error{
		"hash": nil, "lru_hash": nil, "array": syscall.EINVAL, // an array keeps all of its elements
	} {
		if err := usePercpu(module, name, deleted); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// usePercpu checks the named map. Deleting one of its elements must return the error deleted.
func usePercpu(module *bpf.Module, name string, deleted error) error {
	elements, err := module.GetMap(name)
	if err != nil {
		return err
	}
	cpus, err := bpf.NumPossibleCPUs()
	if err != nil {
		return err
	}
	const each = 16 // the value size, 12, rounded up to a multiple of 8
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
		return fmt.Errorf("writing a value that is too short returns %v", err)
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, deleted) {
		return fmt.Errorf("deleting returns %v, want %v", err, deleted)
	}
	return nil
}

func cpuFlags(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	key, value := uint32(1), uint32(7)
	if err := elements.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&value), bpf.MapFlagAllCPUs); err != nil {
		return selftest.At(selftest.Using, fmt.Errorf("write one value for all CPUs: %w", err))
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	for _, update := range []struct {
		flag        bpf.MapFlag
		value       uint32
		first, rest uint32 // the values of CPU 0 and of the others afterwards
	}{
		{bpf.MapFlagCPU, 8, 8, 7}, {bpf.MapFlagAllCPUs, 9, 9, 9},
	} {
		if err := elements.UpdateElem(number(key), number(update.value), update.flag); err != nil {
			return err
		}
		got, err := elements.GetValue(unsafe.Pointer(&key))
		if err != nil {
			return err
		}
		for i := 0; i < len(got); i += 8 {
			want := update.rest
			if i == 0 {
				want = update.first
			}
			if n := binary.NativeEndian.Uint32(got[i:]); n != want {
				return fmt.Errorf("after %+v, CPU %d has %d instead of %d", update, i/8, n, want)
			}
		}
		got, err = elements.GetValueFlags(unsafe.Pointer(&key), bpf.MapFlagCPU)
		if err != nil || len(got) != 4 || binary.NativeEndian.Uint32(got) != update.first {
			return fmt.Errorf("after %+v, the value of CPU 0 is %x, %v", update, got, err)
		}
	}
	return nil
}
