// Map-prog-array checks that a program goes on in another one that the process has put into an array.
package main

import (
	_ "embed"
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

	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 1 {
		return fmt.Errorf("without another program, the result is %d, %v", ret, err)
	}
	second, err := module.GetProgram("second")
	if err != nil {
		return err
	}
	key, fd := uint32(1), uint32(second.FileDescriptor())
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&fd)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 2 {
		return fmt.Errorf("with another program, the result is %d, %v", ret, err)
	}
	return nil
}
