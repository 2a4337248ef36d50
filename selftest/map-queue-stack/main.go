// Map-queue-stack checks the order of what a queue and a stack give back.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

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
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 0 {
		return fmt.Errorf("the program returns %d, %v", ret, err)
	}
	for name, order := range map[string][]uint32{"queue": {1, 2, 3}, "stack": {3, 2, 1}} {
		elements, err := module.GetMap(name)
		if err != nil {
			return err
		}
		for _, want := range order {
			if got, err := elements.GetValueAndDeleteKey(nil); err != nil || binary.NativeEndian.Uint32(got) != want {
				return fmt.Errorf("the %s gives %x, %v, want %d", name, got, err, want)
			}
		}
		if _, err := elements.GetValueAndDeleteKey(nil); !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("the empty %s gives %v", name, err)
		}
	}
	return nil
}
