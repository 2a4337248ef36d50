// Map-devmap checks that a program sends packets on to the interface or the CPU that the process has put
// into a map.
package main

import (
	_ "embed"
	"encoding/binary"
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
	return selftest.InNetwork(func() error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		for name, test := range map[string]struct {
			key, value uint32
		}{
			"array": {1, selftest.Loopback},
			"hash":  {1000, selftest.Loopback},
			"cpus":  {0, 192}, // packets that wait
		} {
			elements, err := module.GetMap(name)
			if err != nil {
				return err
			}
			prog, err := module.GetProgram("to_" + name)
			if err != nil {
				return err
			}
			run := func() (uint32, error) {
				opts := bpf.RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64}
				err := prog.Run(&opts)
				return opts.RetVal, err
			}
			const drop, redirect = 1, 4 // XDP_DROP, XDP_REDIRECT
			if ret, err := run(); err != nil || ret != drop {
				return fmt.Errorf("%s: without an element, the result is %d, %v", name, ret, err)
			}
			if err := elements.Update(unsafe.Pointer(&test.key), unsafe.Pointer(&test.value)); err != nil {
				return err
			}
			if ret, err := run(); err != nil || ret != redirect {
				return fmt.Errorf("%s: the result is %d, %v", name, ret, err)
			}
			if got, err := elements.GetValue(unsafe.Pointer(&test.key)); err != nil || binary.NativeEndian.Uint32(got) != test.value {
				return fmt.Errorf("%s: the value is %x, %v", name, got, err)
			}
			if err := elements.DeleteKey(unsafe.Pointer(&test.key)); err != nil {
				return err
			}
			if ret, err := run(); err != nil || ret != drop {
				return fmt.Errorf("%s: after the element was deleted, the result is %d, %v", name, ret, err)
			}
		}
		return nil
	})
}
