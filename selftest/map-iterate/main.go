// Map-iterate checks that an iterator gives each key once, also while elements are deleted.
package main

import (
	_ "embed"
	"encoding/binary"
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

	for key := range uint32(1000) {
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&key)); err != nil {
			return err
		}
	}
	seen := make(map[uint32]bool)
	it := elements.Iterator()
	for it.Next() {
		seen[binary.NativeEndian.Uint32(it.Key())] = true
	}
	if err := it.Err(); err != nil || len(seen) != 1000 {
		return fmt.Errorf("%d keys, %v", len(seen), err)
	}
	for range 1000 {
		it := elements.Iterator()
		if !it.Next() {
			return fmt.Errorf("the map ends early: %v", it.Err())
		}
		if err := elements.DeleteElem(it.Key()); err != nil {
			return err
		}
	}
	if it := elements.Iterator(); it.Next() || it.Err() != nil {
		return fmt.Errorf("the map isn't empty, %v", it.Err())
	}
	return nil
}
