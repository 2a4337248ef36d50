// Map-batch checks what operations on many elements do at once, and what they do in part.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
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

	keys, values := make([]uint32, 100), make([]uint32, 100)
	for i := range keys {
		keys[i], values[i] = uint32(i), uint32(1000+i)
	}
	n, err := elements.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 100)
	if err != nil || n != 100 {
		return fmt.Errorf("updated %d, %v", n, err)
	}
	seen := make(map[uint32]bool)
	got := make([]uint32, 100)
	var start, next unsafe.Pointer
	position := uint32(0)
	for next = unsafe.Pointer(&position); ; start = next {
		batch, n, err := elements.GetValueBatch(unsafe.Pointer(&got[0]), start, next, 40)
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
		for i, value := range batch[:n] {
			if v := binary.NativeEndian.Uint32(value); v != 1000+got[i] || seen[got[i]] {
				return fmt.Errorf("key %d has value %d", got[i], v)
			}
			seen[got[i]] = true
		}
		if err != nil {
			break // the end
		}
	}
	if len(seen) != 100 {
		return fmt.Errorf("%d elements were seen", len(seen))
	}
	n, err = elements.DeleteKeyBatch(unsafe.Pointer(&keys[0]), 60)
	if err != nil || n != 60 {
		return fmt.Errorf("deleted %d, %v", n, err)
	}
	// The first that isn't there ends it.
	n, err = elements.DeleteKeyBatch(unsafe.Pointer(&keys[90]), 10)
	if err != nil || n != 10 {
		return fmt.Errorf("deleted %d, %v", n, err)
	}
	n, err = elements.DeleteKeyBatch(unsafe.Pointer(&keys[85]), 10)
	if err != nil || n != 5 {
		return fmt.Errorf("deleted %d in part, %v", n, err)
	}
	batch, n, err := elements.GetValueAndDeleteBatch(unsafe.Pointer(&got[0]), nil, unsafe.Pointer(&position), 100)
	if err != nil && !errors.Is(err, syscall.ENOENT) || n != 25 || len(batch) < 25 {
		return fmt.Errorf("took out %d, %v", n, err)
	}
	if it := elements.Iterator(); it.Next() {
		return errors.New("the map isn't empty")
	}
	return nil
}
