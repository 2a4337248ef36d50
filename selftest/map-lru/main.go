// Map-lru checks that a full LRU hash map lets go of old elements, and not of those in use.
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

	value := uint64(1)
	for key := range uint32(10000) {
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
	}
	count, newest := 0, uint32(0)
	it := elements.Iterator()
	for it.Next() {
		count++
		newest = max(newest, binary.NativeEndian.Uint32(it.Key()))
	}
	if err := it.Err(); err != nil {
		return err
	}
	if count == 0 || count > 64 || newest != 9999 {
		return fmt.Errorf("%d elements are left, the newest is %d", count, newest)
	}
	return nil
}
