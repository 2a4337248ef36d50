// Map-pin checks that a pinned map keeps its elements, and is found by its path, also by another
// module that reuses it.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	return selftest.WithBPFFS(func(dir string) error {
		path := filepath.Join(dir, "elements")
		key, value := uint32(1), uint32(7)
		for round := range 3 {
			// Each round's module finds what the one before has left.
			module, err := selftest.Load(object, func(module *bpf.Module) error {
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
	})
}
