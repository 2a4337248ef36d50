// Kconfig checks that a program sees the values of a kernel configuration that the process names.
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
	file, err := os.CreateTemp("", "kconfig")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString("CONFIG_HZ=4242\nCONFIG_SELFTEST=y\n"); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	module, err := bpf.NewModuleFromBufferArgs(bpf.NewModuleArgs{
		BPFObjBuff: object, BPFObjName: "selftest", KConfigFilePath: file.Name(),
	})
	if err != nil {
		return err
	}
	defer module.Close()
	if err := module.BPFLoadObject(); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 42421 {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	return nil
}
