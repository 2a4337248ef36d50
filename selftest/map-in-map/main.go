// Map-in-map checks that a program finds maps in an array and a hash of maps, set before and after the
// load.
package main

import (
	_ "embed"
	"fmt"
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
	template, err := bpf.CreateMap(bpf.MapTypeArray, "template", 4, 4, 1, nil)
	if err != nil {
		return err
	}
	defer template.Close()
	module, err := selftest.Load(object, func(module *bpf.Module) error {
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
