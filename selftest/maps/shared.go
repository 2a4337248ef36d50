package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func low(t *selftest.Test) error {
	made, err := bpf.CreateMap(bpf.MapTypeArray, "elements", 4, 4, 1, nil)
	if err != nil {
		return err
	}
	defer made.Close()
	info, err := bpf.GetMapInfoByFD(made.FileDescriptor())
	if err != nil {
		return err
	}
	found, err := bpf.GetMapByID(info.ID)
	if err != nil {
		return err
	}
	defer found.Close()
	if found.Name() != "elements" || found.Type() != bpf.MapTypeArray || found.ValueSize() != 4 {
		return fmt.Errorf("found %q, %v, %d bytes", found.Name(), found.Type(), found.ValueSize())
	}
	ids, err := bpf.GetMapsIDsByName("elements", new(uint32))
	if err != nil || !slices.Contains(ids, info.ID) {
		return fmt.Errorf("id %d isn't among %d, %v", info.ID, ids, err)
	}
	module, err := t.Load(func(module *bpf.Module) error {
		own, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		return own.ReuseFD(made.FileDescriptor())
	})
	if err != nil {
		return err
	}
	defer module.Close()
	key, value := uint32(0), uint32(7)
	if err := found.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	return nil
}

func pin(t *selftest.Test) error {
	path := filepath.Join(t.BPFFS, "elements")
	key, value := uint32(1), uint32(7)
	for round := range 3 {
		// From the second round on, the module reuses the map that the previous one pinned.
		module, err := t.Load(func(module *bpf.Module) error {
			elements, err := module.GetMap("elements")
			if err != nil {
				return err
			}
			return elements.SetPinPath(path)
		})
		if err != nil {
			return err
		}
		elements, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		if !elements.IsPinned() || elements.PinPath() != path {
			return fmt.Errorf("the map is pinned at %q", elements.PinPath())
		}
		got, err := elements.GetValue(unsafe.Pointer(&key))
		if round == 0 != errors.Is(err, syscall.ENOENT) || err == nil && binary.NativeEndian.Uint32(got) != value {
			return fmt.Errorf("round %d: the value is %x, %v", round, got, err)
		}
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
		if round == 2 {
			if err := elements.Unpin(path); err != nil {
				return err
			}
		}
		module.Close()
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("after Unpin: %v", err)
	}
	return nil
}

func reuse(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	other, err := t.Load(func(module *bpf.Module) error {
		own, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		return own.ReuseFD(elements.FileDescriptor())
	})
	if err != nil {
		return err
	}
	defer other.Close()
	key, value := uint32(1), uint32(7)
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	module.Close()
	if ret, err := selftest.RunProg(other, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	return nil
}

func settings(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements", func(module *bpf.Module) error {
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
	info, err := bpf.GetMapInfoByFD(elements.FileDescriptor())
	if err != nil || info.MaxEntries != 2 || info.ValueSize != 100 || info.Name != "elements" {
		return fmt.Errorf("the kernel has %+v, %v", info, err)
	}
	if err := elements.SetMaxEntries(3); !errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("resizing after the load returns %v", err)
	}
	for key := range uint32(3) {
		value := [100]byte{99: byte(key)}
		err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value))
		if key == 2 != errors.Is(err, syscall.E2BIG) {
			return fmt.Errorf("writing element %d returns %v", key, err)
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
