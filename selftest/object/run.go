package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func progRun(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	packet := make([]byte, 60)
	packet[13] = 41
	opts := bpf.RunOpts{DataIn: packet, DataSizeIn: 60, DataOut: make([]byte, 60), DataSizeOut: 60, Repeat: 5}
	if err := prog.Run(&opts); err != nil {
		return err
	}
	const tx = 3 // XDP_TX
	if opts.RetVal != tx || len(opts.DataOut) != 60 || opts.DataOut[0] != 42 || packet[0] != 0 {
		return fmt.Errorf("%+v", opts)
	}
	if n, err := selftest.Hits(module, 0); err != nil || n != 5 {
		return fmt.Errorf("the program ran %d times, %v", n, err)
	}
	opts = bpf.RunOpts{DataIn: packet, DataSizeIn: 60, DataOut: make([]byte, 10), DataSizeOut: 10}
	if err := prog.Run(&opts); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("without room for the packet: %v", err)
	}
	return nil
}

func progRunChecksum(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	check := func(name string, flags bpf.RunFlag) error {
		prog, err := module.GetProgram(name)
		if err != nil {
			return err
		}
		opts := bpf.RunOpts{DataIn: make([]byte, 60), DataSizeIn: 60, Flags: flags}
		if err := prog.Run(&opts); err != nil || opts.RetVal != 0 {
			return fmt.Errorf("the result of %q with flags %d is %d: %w", name, flags, opts.RetVal, err)
		}
		return nil
	}
	if err := errors.Join(check("right", 0), check("wrong", 0)); err != nil {
		return err
	}
	if err := check("right", bpf.RunFlagSKBChecksumComplete); err != nil {
		return selftest.At(selftest.Using, fmt.Errorf("check the checksum: %w", err))
	}
	if err := check("wrong", bpf.RunFlagSKBChecksumComplete); !errors.Is(err, syscall.EBADMSG) {
		return fmt.Errorf("running the program with a wrong checksum returns %v", err)
	}
	return nil
}

func syscallProg(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
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
