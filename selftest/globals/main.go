// Globals checks that the program sees global variables as they are set before the load, and the
// process what the program writes.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
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
	type pair struct{ First, Second uint32 }
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		return errors.Join(
			module.InitGlobalVariable("constant", uint32(100)),
			module.InitGlobalVariable("variable", uint64(2000)),
			module.InitGlobalVariable("pair", pair{30, 40}),
		)
	})
	if err != nil {
		return err
	}
	defer module.Close()
	const want = 100 + 2000 + 30*40
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != want {
		return fmt.Errorf("the program computes %d, %v", ret, err)
	}
	bss, err := module.GetMap("selftest.bss")
	if err != nil {
		return err
	}
	key := uint32(0)
	got, err := bss.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint32(got) != want {
		return fmt.Errorf("the process sees %x, %v", got, err)
	}
	if err := module.InitGlobalVariable("variable", uint64(1)); !errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("after the load: %v", err)
	}
	return nil
}
