// Map-bloom checks that a bloom filter knows what was put into it, and little else.
package main

import (
	_ "embed"
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

	if elements.MapExtra() != 5 {
		return fmt.Errorf("the map has %d hash functions", elements.MapExtra())
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 0 {
		return fmt.Errorf("in an empty filter, the program finds %d, %v", ret, err)
	}
	value := uint32(42)
	if err := elements.Update(nil, unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 1 {
		return fmt.Errorf("the program finds %d, %v", ret, err)
	}
	return nil
}
