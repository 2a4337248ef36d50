package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AttachTracepoint attaches the program to a tracepoint. category and name are its folders in tracefs, such as
// "sched" and "sched_process_exec". It reads tracefs, which must be mounted. Only root and threads with
// CAP_DAC_READ_SEARCH may read tracefs, unless it is mounted for a group (mode=750,gid=GROUP).
//
// Implements: bpf_program__attach_tracepoint
func (p *BPFProg) AttachTracepoint(category, name string) (*BPFLink, error) {
	return p.AttachTracepointOpts(category, name, TracepointOpts{})
}

// TracepointOpts are options of [BPFProg.AttachTracepointOpts] (struct bpf_tracepoint_opts).
type TracepointOpts struct {
	Cookie uint64 // returned by bpf_get_attach_cookie() in the program (Linux 5.15)
}

// AttachTracepointOpts is AttachTracepoint with options.
//
// Implements: bpf_program__attach_tracepoint_opts
func (p *BPFProg) AttachTracepointOpts(category, name string, opts TracepointOpts) (*BPFLink, error) {
	target := fmt.Sprintf("tracepoint %q", category+":"+name)
	return p.attach(Tracepoint, name, target, func() (*C.struct_bpf_link, error) {
		categoryC, err := cString(category)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(categoryC))
		nameC, err := cString(name)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(nameC))
		optsC := options[C.struct_bpf_tracepoint_opts]()
		optsC.bpf_cookie = C.__u64(opts.Cookie)
		c, errno := C.bpf_program__attach_tracepoint_opts(p.c, categoryC, nameC, optsC)
		if c == nil {
			errno = explainTracefs(errno, category, name)
		}
		return c, errno
	})
}

// Where libbpf looks for tracepoints.
const (
	tracefs        = "/sys/kernel/tracing"
	tracefsInDebug = "/sys/kernel/debug/tracing"
)

// explainTracefs adds a reason to libbpf's error for a tracepoint if tracefs isn't mounted or may not be read.
func explainTracefs(err error, category, name string) error {
	dir := tracefs
	if _, err := os.Stat(tracefsInDebug); err == nil {
		dir = tracefsInDebug
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, statErr := os.Stat(filepath.Join(dir, "events")); errors.Is(statErr, os.ErrNotExist) {
			return fmt.Errorf("tracefs isn't mounted at %s: %w", tracefs, err)
		}
	case errors.Is(err, os.ErrPermission):
		id := filepath.Join(dir, "events", category, name, "id")
		if accessErr := unix.Faccessat(unix.AT_FDCWD, id, unix.R_OK, unix.AT_EACCESS); errors.Is(accessErr, os.ErrPermission) {
			return fmt.Errorf("reading tracefs needs CAP_DAC_READ_SEARCH, or tracefs mounted with mode=750,gid=GROUP: %w", err)
		}
	}
	return err
}

// AttachRawTracepoint attaches the program to a raw tracepoint. tpEvent is its name without a category, such as
// "sched_process_exec".
//
// Implements: bpf_program__attach_raw_tracepoint
func (p *BPFProg) AttachRawTracepoint(tpEvent string) (*BPFLink, error) {
	return p.attachRawTracepoint(tpEvent, func(name *C.char) (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_raw_tracepoint(p.c, name)
		return c, errno
	})
}

// RawTracepointOpts are options of [BPFProg.AttachRawTracepointOpts] (struct bpf_raw_tracepoint_opts).
type RawTracepointOpts struct {
	Cookie uint64 // returned by bpf_get_attach_cookie() in the program (Linux 6.10)
}

// AttachRawTracepointOpts is AttachRawTracepoint with options. It needs libbpf 1.4.
//
// Implements: bpf_program__attach_raw_tracepoint_opts
func (p *BPFProg) AttachRawTracepointOpts(tpEvent string, opts RawTracepointOpts) (*BPFLink, error) {
	return p.attachRawTracepoint(tpEvent, func(name *C.char) (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 4, "bpf_program__attach_raw_tracepoint_opts"); err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_raw_tracepoint(p.c, name, C.uint64_t(opts.Cookie))
		return c, errno
	})
}

func (p *BPFProg) attachRawTracepoint(tpEvent string, do func(name *C.char) (*C.struct_bpf_link, error)) (*BPFLink, error) {
	target := fmt.Sprintf("raw tracepoint %q", tpEvent)
	return p.attach(RawTracepoint, tpEvent, target, func() (*C.struct_bpf_link, error) {
		name, err := cString(tpEvent)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(name))
		return do(name)
	})
}

// TraceOpts are options of [BPFProg.AttachTraceOpts] (struct bpf_trace_opts).
type TraceOpts struct {
	// Cookie is returned by bpf_get_attach_cookie() in the program (Linux 5.19; at raw tracepoints libbpf 1.4
	// and Linux 6.10).
	Cookie uint64
}

// AttachTraceOpts attaches the program to the kernel function (fentry, fexit, fmod_ret) or raw tracepoint with
// BTF (tp_btf) that its section names, or that was set by [BPFProg.SetAttachTarget].
//
// Implements: bpf_program__attach_trace, bpf_program__attach_trace_opts
func (p *BPFProg) AttachTraceOpts(opts TraceOpts) (*BPFLink, error) {
	return p.attach(Tracing, p.SectionName(), fmt.Sprintf("its target %q", p.SectionName()), func() (*C.struct_bpf_link, error) {
		optsC := options[C.struct_bpf_trace_opts]()
		optsC.cookie = C.__u64(opts.Cookie)
		c, errno := C.bpf_program__attach_trace_opts(p.c, optsC)
		return c, errno
	})
}

// AttachFreplace replaces a global function of another BPF program by the program, which is of a section
// "freplace". targetFD is a descriptor of the other program. If targetFD is 0 and attachFuncName is "", the
// target is the one that was set by [BPFProg.SetAttachTarget].
//
// Implements: bpf_program__attach_freplace
func (p *BPFProg) AttachFreplace(targetFD int, attachFuncName string) (*BPFLink, error) {
	target := fmt.Sprintf("function %q of program %d", attachFuncName, targetFD)
	return p.attach(Tracing, attachFuncName, target, func() (*C.struct_bpf_link, error) {
		fd, err := cInt(targetFD, "descriptor")
		if err != nil {
			return nil, err
		}
		name, err := cStringOrNil(attachFuncName)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(name))
		c, errno := C.bpf_program__attach_freplace(p.c, fd, name)
		return c, errno
	})
}

// AttachLSM attaches the program to the security hook that its section names. The kernel runs the program only
// if bpf is among its active security modules.
//
// Implements: bpf_program__attach_lsm
func (p *BPFProg) AttachLSM() (*BPFLink, error) {
	return p.attach(LSM, p.SectionName(), fmt.Sprintf("security hook %q", p.SectionName()), func() (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_lsm(p.c)
		return c, errno
	})
}

// AttachPerfEvent attaches the program to the perf event with the descriptor fd. The link then owns the
// descriptor and closes it; the caller must not.
//
// Implements: bpf_program__attach_perf_event
func (p *BPFProg) AttachPerfEvent(fd int) (*BPFLink, error) {
	return p.AttachPerfEventOpts(fd, PerfEventOpts{})
}

// PerfEventOpts are options of [BPFProg.AttachPerfEventOpts] (struct bpf_perf_event_opts).
type PerfEventOpts struct {
	Cookie uint64 // returned by bpf_get_attach_cookie() in the program (Linux 5.15)
}

// AttachPerfEventOpts is AttachPerfEvent with options.
//
// Implements: bpf_program__attach_perf_event_opts
func (p *BPFProg) AttachPerfEventOpts(fd int, opts PerfEventOpts) (*BPFLink, error) {
	target := fmt.Sprintf("perf event %d", fd)
	return p.attach(PerfEvent, target, target, func() (*C.struct_bpf_link, error) {
		event, err := cInt(fd, "descriptor")
		if err != nil {
			return nil, err
		}
		optsC := options[C.struct_bpf_perf_event_opts]()
		optsC.bpf_cookie = C.__u64(opts.Cookie)
		c, errno := C.bpf_program__attach_perf_event_opts(p.c, event, optsC)
		return c, errno
	})
}

// BPFCgroupIterOrder is the order in which an iterator goes over cgroups.
type BPFCgroupIterOrder uint32

// IterOpts select what an iterator iterates over: the elements of a map, the cgroups around one that is given
// by descriptor or id (Linux 6.1), or the tasks of one thread or process (Linux 6.1). Fields that are 0 are
// unset. The fields of at most one of the three groups may be set.
type IterOpts struct {
	MapFd int

	CgroupIterOrder BPFCgroupIterOrder
	CgroupFd        int
	CgroupId        uint64

	Tid   int
	Pid   int
	PidFd int
}

// AttachIter creates a link of an iterator program. [BPFLink.Reader] returns the iterator's output.
//
// Implements: bpf_program__attach_iter
func (p *BPFProg) AttachIter(opts IterOpts) (*BPFLink, error) {
	return p.attach(Iter, p.SectionName(), fmt.Sprintf("iterator %q", p.SectionName()), func() (*C.struct_bpf_link, error) {
		kinds := 0
		for _, asked := range []bool{
			opts.MapFd != 0,
			opts.CgroupIterOrder != 0 || opts.CgroupFd != 0 || opts.CgroupId != 0,
			opts.Tid != 0 || opts.Pid != 0 || opts.PidFd != 0,
		} {
			if asked {
				kinds++
			}
		}
		if kinds > 1 {
			return nil, fmt.Errorf("options for more than one of map, cgroups and tasks: %w", syscall.EINVAL)
		}
		if opts.Tid < 0 || opts.Pid < 0 {
			return nil, fmt.Errorf("thread %d, process %d: %w", opts.Tid, opts.Pid, syscall.EINVAL)
		}
		numbers, err := cInts([]int{opts.MapFd, opts.CgroupFd, opts.Tid, opts.Pid, opts.PidFd}, "descriptor or process")
		if err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_iter(p.c, C.uint32_t(numbers[0]), C.uint32_t(opts.CgroupIterOrder), C.uint32_t(numbers[1]),
			C.uint64_t(opts.CgroupId), C.uint32_t(numbers[2]), C.uint32_t(numbers[3]), C.uint32_t(numbers[4]))
		return c, errno
	})
}
