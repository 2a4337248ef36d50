// Error-paths checks that each wrong input is an error that tells what is wrong.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
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
		return err
	}
	defer module.Close()
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}

	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	for name, test := range map[string]struct {
		want error
		do   func() error
	}{
		"no file":       {syscall.ENOENT, func() error { _, err := bpf.NewModuleFromFile("/nothing"); return err }},
		"no ELF":        {bpf.LibbpfErrnoFormat, func() error { _, err := bpf.NewModuleFromBuffer(make([]byte, 100), "zero"); return err }},
		"half a file":   {bpf.LibbpfErrnoFormat, func() error { _, err := bpf.NewModuleFromBuffer(object[:len(object)/2], "half"); return err }},
		"no such map":   {syscall.ENOENT, func() error { _, err := module.GetMap("nothing"); return err }},
		"no such prog":  {syscall.ENOENT, func() error { _, err := module.GetProgram("nothing"); return err }},
		"loaded twice":  {syscall.EINVAL, module.BPFLoadObject},
		"short key":     {syscall.EINVAL, func() error { return elements.UpdateElem(make([]byte, 3), make([]byte, 4), 0) }},
		"empty value":   {syscall.EINVAL, func() error { return elements.UpdateElem(make([]byte, 4), nil, 0) }},
		"nil key":       {syscall.EFAULT, func() error { return elements.DeleteKey(nil) }},
		"no tracepoint": {syscall.ENOENT, func() error { _, err := prog.AttachRawTracepoint("nothing"); return err }},
		"nil channel":   {syscall.EINVAL, func() error { _, err := module.InitRingBuf("elements", nil); return err }},
		"no ring":       {syscall.EINVAL, func() error { _, err := module.InitRingBuf("elements", make(chan []byte)); return err }},
	} {
		if err := test.do(); !errors.Is(err, test.want) {
			return fmt.Errorf("%s gives %v, want %v", name, err, test.want)
		}
	}
	module.Close()
	for name, do := range map[string]func() error{
		"load":   module.BPFLoadObject,
		"map":    func() error { return elements.UpdateElem(make([]byte, 4), make([]byte, 4), 0) },
		"attach": func() error { _, err := prog.AttachGeneric(); return err },
	} {
		if err := do(); !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("after Close, %s gives %v", name, err)
		}
	}
	return nil
}
