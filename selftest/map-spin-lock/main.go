// Map-spin-lock checks that a value with a spin lock is read and written whole.
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
		return err
	}
	defer module.Close()
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}

	type value struct{ lock, first, second uint32 }
	key, initial := uint32(1), value{first: 5, second: 5}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&initial)); err != nil {
		return err
	}
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		packet := make([]byte, 64)
		opts := bpf.RunOpts{DataIn: packet, DataSizeIn: 64, Repeat: 100_000}
		err := prog.Run(&opts)
		if err == nil && opts.RetVal != 0 {
			err = fmt.Errorf("the program returns %d", opts.RetVal)
		}
		ended <- err
	}()
	for {
		for _, flag := range []bpf.MapFlag{bpf.MapFlagLock, bpf.MapFlagFLock} {
			got, err := elements.GetValueFlags(unsafe.Pointer(&key), flag)
			if err != nil {
				return err
			}
			if v := (*value)(unsafe.Pointer(&got[0])); v.first != v.second || v.first < 5 {
				return fmt.Errorf("the value is %+v", v)
			}
		}
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
			return elements.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&initial), bpf.MapFlagLock)
		default:
		}
	}
}
