// Map-cpu-flags checks that one value is written for all CPUs, and read and written for one of them.
package main

import (
	_ "embed"
	"encoding/binary"
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
	key, value := uint32(1), uint32(7)
	if err := elements.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&value), bpf.MapFlagAllCPUs); err != nil {
		return selftest.Skip(fmt.Errorf("write one value for all CPUs, which Linux 7.0 can: %w", err), syscall.EINVAL)
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	for _, update := range []struct {
		flag        bpf.MapFlag
		value       uint32
		first, rest uint32 // what CPU 0 and the others have then
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
