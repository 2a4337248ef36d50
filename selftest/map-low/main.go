// Map-low checks a map that is made without an object, found by its id, and shared with a program.
package main

import (
	_ "embed"
	"fmt"
	"slices"
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
	module, err := selftest.Load(object, func(module *bpf.Module) error {
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
