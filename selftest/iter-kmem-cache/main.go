// Iter-kmem-cache checks that an iterator goes over the kernel's caches of memory, and finds some of
// the usual sizes.
package main

import (
	_ "embed"
	"fmt"
	"slices"
	"syscall"

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
		return selftest.Skip(err, syscall.ESRCH) // before Linux 6.13
	}
	defer module.Close()
	sizes, err := selftest.Iterate(module, "prog", bpf.IterOpts{})
	if err != nil {
		return err
	}
	for _, size := range []uint64{64, 1024, 4096} {
		if !slices.Contains(sizes, size) {
			return fmt.Errorf("no cache has objects of %d bytes: %v", size, sizes)
		}
	}
	return nil
}
