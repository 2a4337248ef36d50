package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RunFlag is an option of [BPFProg.Run].
type RunFlag uint32

// RunOpts are the inputs and results of [BPFProg.Run] (struct bpf_test_run_opts). Sizes are in bytes. A size of 0
// means the length of its slice; other sizes must not exceed the slice's capacity.
type RunOpts struct {
	DataIn      []byte // packet
	DataOut     []byte // buffer for the packet after the run; Run sets its length
	DataSizeIn  uint32
	DataSizeOut uint32 // after ENOSPC, the size that DataOut needs
	CtxIn       []byte // the program's context; a program of type BPFProgTypeSyscall can write to it
	CtxOut      []byte // buffer for the context after the run; Run sets its length
	CtxSizeIn   uint32
	CtxSizeOut  uint32        // after ENOSPC, the size that CtxOut needs
	RetVal      uint32        // the program's return value
	Repeat      int           // number of runs; 0 means one
	Duration    time.Duration // average duration of a run
	Flags       RunFlag
	CPU         uint32
	BatchSize   uint32 // with RunFlagXDPLiveFrames
}

// A runBuffer is a slice of RunOpts and the number of its bytes that are passed to the kernel.
type runBuffer struct {
	name string
	data []byte
	size C.__u32
}

func newRunBuffer(name string, data []byte, size uint32) (runBuffer, error) {
	n := int64(size)
	if n == 0 {
		n = int64(len(data))
	}
	if most := min(int64(cap(data)), math.MaxUint32); n > most {
		return runBuffer{}, fmt.Errorf("%s needs room for %d bytes, but has room for %d: %w", name, n, most, syscall.EINVAL)
	}
	return runBuffer{name, data, C.__u32(n)}, nil
}

// bytes returns the buffer's address. It is nil if the size is 0, because the kernel would then write without a limit.
func (b *runBuffer) bytes() *C.char {
	if b.size == 0 {
		return nil
	}
	return bytesC(b.data)
}

// setResult sets an output's length to the size that the kernel reports in needed. If the buffer was too small for
// that, it sets size to needed and returns an error.
func (b *runBuffer) setResult(needed C.__u32, data *[]byte, size *uint32) error {
	if b.size == 0 {
		return nil
	}
	*data = b.data[:min(needed, b.size)]
	if needed <= b.size {
		return nil
	}
	*size = uint32(needed)
	return fmt.Errorf("%s has room for %d bytes of %d: %w", b.name, b.size, needed, syscall.ENOSPC)
}

// Run runs the loaded program once or more, without attaching it (BPF_PROG_TEST_RUN). The kernel's documentation lists
// the program types that can be run and what they need. For other types, the error is errors.ErrUnsupported
// (errors.Is). If DataOut or CtxOut is too small, the error is syscall.ENOSPC: the program has run, RetVal and
// Duration are set, the slice contains as many bytes as it had room for, and its size field is set to the size that it
// needs.
//
// Implements: bpf_prog_test_run_opts
func (p *BPFProg) Run(opts *RunOpts) error {
	what := fmt.Sprintf("run program %q", p.Name())
	// A descriptor of its own allows other calls, and closing the module, while the program runs.
	fd, err := p.duplicate()
	if err != nil {
		return failed(err, what)
	}
	defer unix.Close(fd)
	if opts == nil {
		return failed(fmt.Errorf("nil options: %w", syscall.EINVAL), what)
	}
	if opts.Repeat < 0 || int64(opts.Repeat) > math.MaxInt32 {
		return failed(fmt.Errorf("%d times: %w", opts.Repeat, syscall.EINVAL), what)
	}
	dataIn, err1 := newRunBuffer("DataIn", opts.DataIn, opts.DataSizeIn)
	dataOut, err2 := newRunBuffer("DataOut", opts.DataOut, opts.DataSizeOut)
	ctxIn, err3 := newRunBuffer("CtxIn", opts.CtxIn, opts.CtxSizeIn)
	ctxOut, err4 := newRunBuffer("CtxOut", opts.CtxOut, opts.CtxSizeOut)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return failed(err, what)
	}
	c := options[C.struct_bpf_test_run_opts]()
	c.data_size_in, c.data_size_out = dataIn.size, dataOut.size
	c.ctx_size_in, c.ctx_size_out = ctxIn.size, ctxOut.size
	c.repeat = C.int(opts.Repeat)
	c.flags = C.__u32(opts.Flags)
	c.cpu = C.__u32(opts.CPU)
	c.batch_size = C.__u32(opts.BatchSize)
	err = codeOf(C.golibbpf_prog_run(C.int(fd), c, dataIn.bytes(), dataOut.bytes(), ctxIn.bytes(), ctxOut.bytes()))
	if err != nil && err != syscall.ENOSPC {
		return failedf(err, "%s with DataIn of %d bytes, DataOut of %d, CtxIn of %d, CtxOut of %d", what, dataIn.size, dataOut.size, ctxIn.size, ctxOut.size)
	}
	opts.RetVal = uint32(c.retval)
	opts.Duration = time.Duration(c.duration)
	// The kernel writes the context only if the data had room.
	if short := dataOut.setResult(c.data_size_out, &opts.DataOut, &opts.DataSizeOut); short != nil {
		err = short
	} else if short := ctxOut.setResult(c.ctx_size_out, &opts.CtxOut, &opts.CtxSizeOut); short != nil {
		err = short
	}
	return failed(err, what)
}

// duplicate returns a new descriptor of the program.
func (p *BPFProg) duplicate() (int, error) {
	if err := p.in().enter(); err != nil {
		return -1, err
	}
	defer p.in().exit()
	fd, err := p.loaded()
	if err != nil {
		return -1, err
	}
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}
