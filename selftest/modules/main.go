// Modules checks that many modules work at once, each with maps of its own, and leave nothing behind.
package main

import (
	_ "embed"
	"fmt"
	"os"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	const count = 20
	modules := make([]*bpf.Module, count)
	for i := range modules {
		if modules[i], err = selftest.Load(object); err != nil {
			return err
		}
		defer modules[i].Close()
		if err := modules[i].AttachPrograms(); err != nil {
			return err
		}
	}
	for i, module := range modules {
		before, err := selftest.Hits(module, 0)
		if err != nil {
			return err
		}
		if err := selftest.Syscall(); err != nil {
			return err
		}
		if after, err := selftest.Hits(module, 0); err != nil || after <= before {
			return fmt.Errorf("module %d counts %d, then %d, %v", i, before, after, err)
		}
		module.Close()
		module.Close()
	}
	left, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	if len(left) > len(descriptors)+2 { // those of the runtime's poller
		return fmt.Errorf("%d descriptors are open, %d before", len(left), len(descriptors))
	}
	return nil
}
