// Syscall-prog checks that a program that makes system calls is run, gets its context and changes it.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

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
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	const valueSize = 48
	context := make([]byte, 16)
	binary.NativeEndian.PutUint64(context, valueSize)
	opts := bpf.RunOpts{CtxIn: context, CtxSizeIn: uint32(len(context))}
	if err := prog.Run(&opts); err != nil {
		return err
	}
	fd := int64(binary.NativeEndian.Uint64(context[8:]))
	if opts.RetVal != 7 || fd < 0 {
		return fmt.Errorf("the program returns %d and descriptor %d", opts.RetVal, fd)
	}
	defer unix.Close(int(fd))
	info, err := bpf.GetMapInfoByFD(int(fd))
	if err != nil {
		return err
	}
	if info.Type != bpf.MapTypeArray || info.ValueSize != valueSize {
		return fmt.Errorf("the program has made %+v", info)
	}
	return nil
}
