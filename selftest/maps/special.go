package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func arena(t *selftest.Test) error {
	address := uint64(1 << 44)
	module, prog, err := t.LoadProgram("prog", func(module *bpf.Module) error {
		arena, err := module.GetMap("arena")
		if err != nil {
			return err
		}
		return errors.Join(arena.SetMapExtra(address), module.InitGlobalVariable("address", address))
	})
	if err != nil {
		return err
	}
	defer module.Close()
	number := *(**uint64)(unsafe.Pointer(&address))
	*number = 41
	err = selftest.Effect(module, func() (func() error, error) {
		return selftest.Attached(prog.AttachGeneric())
	}, selftest.Syscall)
	if err == nil && *number != 42 {
		err = fmt.Errorf("the number is %d", *number)
	}
	return err
}

func cgroupArray(t *selftest.Test) (err error) {
	child := filepath.Join(t.Cgroup, "child")
	if err := os.Mkdir(child, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(child)) }()
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	expect := func(when string, want int32) error {
		ret, err := selftest.RunProg(module, "prog")
		if err != nil || int32(ret) != want {
			return fmt.Errorf("%s, the program returns %d instead of %d, %v", when, int32(ret), want, err)
		}
		return nil
	}
	key := uint32(1)
	if err := expect("without an element", -int32(syscall.EAGAIN)); err != nil {
		return err
	}
	for path, want := range map[string]int32{t.Cgroup: 1, child: 0} {
		folder, err := os.Open(path)
		if err != nil {
			return err
		}
		defer folder.Close()
		value := uint32(folder.Fd())
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
		if err := expect("with cgroup "+path, want); err != nil {
			return err
		}
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); err != nil {
		return err
	}
	return expect("after the element was deleted", -int32(syscall.EAGAIN))
}

func inMap(t *selftest.Test) error {
	template, err := bpf.CreateMap(bpf.MapTypeArray, "template", 4, 4, 1, nil)
	if err != nil {
		return err
	}
	defer template.Close()
	module, err := t.Load(func(module *bpf.Module) error {
		outer, err := module.GetMap("after_load")
		if err != nil {
			return err
		}
		return outer.SetInnerMap(template.FileDescriptor())
	})
	if err != nil {
		return err
	}
	defer module.Close()
	var maps []*bpf.BPFMap
	for i, name := range []string{"first", "second", "after_load"} {
		bpfMap, err := module.GetMap(name)
		if err != nil {
			return err
		}
		maps = append(maps, bpfMap)
		if key, value := uint32(0), uint32(i+3); i < 2 {
			if err := bpfMap.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
				return err
			}
		}
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 300 {
		return fmt.Errorf("the program sees %d, %v, want 300", ret, err)
	}
	key, fd := uint32(1), uint32(maps[1].FileDescriptor())
	if err := maps[2].Update(unsafe.Pointer(&key), unsafe.Pointer(&fd)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 304 {
		return fmt.Errorf("the program sees %d, %v, want 304", ret, err)
	}
	return nil
}

// An instruction is a struct bpf_insn_array_value: the index of an instruction before and after the load, and its
// offset in the machine code.
type instruction struct {
	original, translated, compiled, _ uint32
}

func insnArray(t *selftest.Test) error {
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
		if got, err := lookupInsn(elements, key); err != nil || got != value {
			return fmt.Errorf("before the load, element %d is %+v, %v", key, got, err)
		}
		if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("deleting element %d returns %v", key, err)
		}
	}
	if err := freeze(elements); err != nil {
		return err
	}
	module, err := t.Load(func(module *bpf.Module) error {
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
	got, err := lookupInsn(elements, 1)
	if err != nil || got.translated != 2 || got.compiled == 0 {
		return fmt.Errorf("after the load, element 1 is %+v, %v", got, err)
	}
	return nil
}

func lookupInsn(elements *bpf.BPFMapLow, key uint32) (instruction, error) {
	value, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil {
		return instruction{}, err
	}
	return *(*instruction)(unsafe.Pointer(&value[0])), nil
}

// freeze makes a map read-only for the process. The kernel requires this before a program uses the map.
func freeze(elements *bpf.BPFMapLow) error {
	fd := uint32(elements.FileDescriptor())
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_FREEZE, uintptr(unsafe.Pointer(&fd)), unsafe.Sizeof(fd)); errno != 0 {
		return fmt.Errorf("freeze: %w", errno)
	}
	return nil
}

func progArray(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 1 {
		return fmt.Errorf("without another program, the result is %d, %v", ret, err)
	}
	second, err := module.GetProgram("second")
	if err != nil {
		return err
	}
	key, fd := uint32(1), uint32(second.FileDescriptor())
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&fd)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 2 {
		return fmt.Errorf("with another program, the result is %d, %v", ret, err)
	}
	return nil
}

func stackTrace(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
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
		// Kernel addresses are in the upper half of the address space.
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
