// Iter-map checks that an iterator goes over the elements of the map that it is attached with.
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
	module, err := selftest.Load(object)
	if err != nil {
		return selftest.SkipUnverified(err)
	}
	defer module.Close()
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}
	for key := range uint32(3) {
		value := uint64(key + 1)
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
	}
	if _, err := selftest.Iterate(module, "prog", bpf.IterOpts{MapFd: elements.FileDescriptor()}); err != nil {
		return err
	}
	if sum, err := selftest.Hits(module, 0); err != nil || sum != 300+6 {
		return fmt.Errorf("the elements add up to %d, %v", sum, err)
	}
	return nil
}
