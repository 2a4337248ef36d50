// This program stands for a user's: it loads an object and uses a map.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
)

//go:embed object.bpf.o
var object []byte

func main() {
	if err := run(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run() error {
	module, err := bpf.NewModuleFromBuffer(object, "object")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := prepare(module); err != nil {
		return err
	}
	if err := module.BPFLoadObject(); err != nil {
		return err
	}
	numbers, err := module.GetMap("numbers")
	if err != nil {
		return err
	}
	key, value := uint32(7), uint64(42)
	if err := numbers.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	got, err := numbers.GetValue(unsafe.Pointer(&key))
	if err != nil {
		return err
	}
	if got[0] != 42 {
		return fmt.Errorf("got %v", got)
	}
	fmt.Println("libbpf", bpf.LibbpfVersionString())
	return nil
}

// prepare uses what came with libbpf 1.6, which an older one must refuse by name.
func prepare(module *bpf.Module) error {
	err := module.Prepare()
	if bpf.MajorVersion() > 1 || bpf.MinorVersion() >= 6 {
		return err
	}
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "libbpf 1.6") {
		return fmt.Errorf("Prepare returns %w", err)
	}
	fmt.Println(err)
	return nil
}
