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

// RunOpts are what [BPFProg.Run] gives to a program and gets from it (struct bpf_test_run_opts). Sizes
// are in bytes. A size of 0 stands for the length of its slice, another one is at most the slice's capacity.
type RunOpts struct {
	DataIn      []byte // the packet
	DataOut     []byte // room for what becomes of it; afterwards as long as that
	DataSizeIn  uint32
	DataSizeOut uint32 // after ENOSPC, what DataOut needs
	CtxIn       []byte // the program's context, which a program of type BPFProgTypeSyscall can change
	CtxOut      []byte // room for what becomes of it; afterwards as long as that
	CtxSizeIn   uint32
	CtxSizeOut  uint32        // after ENOSPC, what CtxOut needs
	RetVal      uint32        // what the program returned
	Repeat      int           // how often it runs; 0 means once
	Duration    time.Duration // what one run took, on average
	Flags       RunFlag
	CPU         uint32
	BatchSize   uint32 // with RunFlagXDPLiveFrames
}

// A runBuffer is a slice of RunOpts, and how many bytes of it the kernel is given.
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
		return runBuffer{}, fmt.Errorf("%s is to have %d bytes, but has room for %d: %w", name, n, most, syscall.EINVAL)
	}
	return runBuffer{name, data, C.__u32(n)}, nil
}

// bytes returns the buffer's address. Without a size, the kernel would write as much as it has: there is none then.
func (b *runBuffer) bytes() *C.char {
	if b.size == 0 {
		return nil
	}
	return bytesC(b.data)
}

// took sets an output's length to the size that the kernel had for it. If that was more than there was room for, it
// returns an error and sets size.
func (b *runBuffer) took(needed C.__u32, data *[]byte, size *uint32) error {
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

// Run runs the loaded program once or more, without attaching it. What kinds of programs the kernel
// can do that with, and what they need, its documentation says (BPF_PROG_TEST_RUN); for the others,
// errors.Is(err, errors.ErrUnsupported) holds. If DataOut or CtxOut is too small, errors.Is(err,
// syscall.ENOSPC) does: the program ran, RetVal and Duration are set, the slice has what it had room for, and
// its size field has the size that it needs.
//
// Implements: bpf_prog_test_run_opts
func (p *BPFProg) Run(opts *RunOpts) error {
	what := fmt.Sprintf("run program %q", p.Name())
	// The module can be used, and closed, while the program runs.
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
	// The kernel writes the context after the data, if that had room.
	if short := dataOut.took(c.data_size_out, &opts.DataOut, &opts.DataSizeOut); short != nil {
		err = short
	} else if short := ctxOut.took(c.ctx_size_out, &opts.CtxOut, &opts.CtxSizeOut); short != nil {
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
