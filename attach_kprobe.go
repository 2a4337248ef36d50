package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"strings"
	"syscall"
	"unsafe"
)

// ProbeAttachMode is the kernel interface by which a kprobe or uprobe is created (enum probe_attach_mode).
type ProbeAttachMode uint32

// The attach modes. If the kernel lacks one, the error is errors.ErrUnsupported (errors.Is). All but the
// default need libbpf 1.2.
const (
	ProbeAttachModeDefault ProbeAttachMode = iota // the newest interface that the kernel has
	ProbeAttachModeLegacy                         // an event in tracefs, which must be mounted
	ProbeAttachModePerf                           // a perf event (Linux 4.17)
	ProbeAttachModeLink                           // a perf event with a BPF link (Linux 5.15)
)

// KprobeOpts are options of [BPFProg.AttachKprobeOpts] (struct bpf_kprobe_opts).
type KprobeOpts struct {
	Offset     uint64          // from the function's start or, without a function name, the kernel address
	Cookie     uint64          // returned by bpf_get_attach_cookie() in the program (Linux 5.15)
	Retprobe   bool            // attach to the function's return
	AttachMode ProbeAttachMode // how the probe is created
}

// AttachKprobe attaches the program to the entry of a kernel function.
//
// Implements: bpf_program__attach_kprobe, bpf_program__attach_kprobe_opts
func (p *BPFProg) AttachKprobe(symbol string) (*BPFLink, error) {
	return p.attachKprobe(symbol, KprobeOpts{})
}

// AttachKretprobe attaches the program to the return of a kernel function.
//
// Implements: bpf_program__attach_kprobe, bpf_program__attach_kprobe_opts
func (p *BPFProg) AttachKretprobe(symbol string) (*BPFLink, error) {
	return p.attachKprobe(symbol, KprobeOpts{Retprobe: true})
}

// AttachKprobeOffset attaches the program to an address in the kernel.
//
// Implements: bpf_program__attach_kprobe_opts
func (p *BPFProg) AttachKprobeOffset(offset uint64) (*BPFLink, error) {
	return p.attachKprobe("", KprobeOpts{Offset: offset})
}

// AttachKretprobeOnOffset attaches the program to the return of the function at an address in the
// kernel.
//
// Implements: bpf_program__attach_kprobe_opts
func (p *BPFProg) AttachKretprobeOnOffset(offset uint64) (*BPFLink, error) {
	return p.attachKprobe("", KprobeOpts{Offset: offset, Retprobe: true})
}

// AttachKprobeOpts attaches the program to a kernel function. opts select an offset, a cookie, and how the
// probe is created.
//
// Implements: bpf_program__attach_kprobe_opts
func (p *BPFProg) AttachKprobeOpts(symbol string, opts KprobeOpts) (*BPFLink, error) {
	return p.attachKprobe(symbol, opts)
}

func (p *BPFProg) attachKprobe(symbol string, opts KprobeOpts) (*BPFLink, error) {
	eventName := symbol
	if eventName == "" {
		eventName = fmt.Sprintf("%#x", opts.Offset)
	} else if opts.Offset != 0 {
		eventName = fmt.Sprintf("%s+%#x", symbol, opts.Offset)
	}
	target := fmt.Sprintf("%s of kernel function %q", entryOrReturn(opts.Retprobe), eventName)
	return p.attach(kprobeType(opts.Retprobe), eventName, target, func() (*C.struct_bpf_link, error) {
		if err := needAttachMode(opts.AttachMode); err != nil {
			return nil, err
		}
		name, err := cString(symbol)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(name))
		c := options[C.struct_bpf_kprobe_opts]()
		c.bpf_cookie = C.__u64(opts.Cookie)
		c.offset = C.size_t(opts.Offset)
		c.retprobe = C.bool(opts.Retprobe)
		C.golibbpf_kprobe_mode(c, C.uint(opts.AttachMode))
		link, errno := C.bpf_program__attach_kprobe_opts(p.c, name, c)
		return link, errno
	})
}

func kprobeType(isReturn bool) LinkType {
	if isReturn {
		return Kretprobe
	}
	return Kprobe
}

func needAttachMode(mode ProbeAttachMode) error {
	if mode == ProbeAttachModeDefault {
		return nil
	}
	return needLibbpf(1, 2, "bpf_kprobe_opts.attach_mode")
}

func entryOrReturn(isReturn bool) string {
	if isReturn {
		return "return"
	}
	return "entry"
}

// KsyscallOpts are options of [BPFProg.AttachKsyscall] (struct bpf_ksyscall_opts).
type KsyscallOpts struct {
	Cookie   uint64 // returned by bpf_get_attach_cookie() in the program (Linux 5.15)
	Retprobe bool   // attach to the system call's return
}

// AttachKsyscall attaches the program to the entry or return of a system call, such as "openat",
// whatever the kernel's function for it is called.
//
// Implements: bpf_program__attach_ksyscall
func (p *BPFProg) AttachKsyscall(name string, opts KsyscallOpts) (*BPFLink, error) {
	target := fmt.Sprintf("%s of system call %q", entryOrReturn(opts.Retprobe), name)
	return p.attach(kprobeType(opts.Retprobe), name, target, func() (*C.struct_bpf_link, error) {
		if err := checkAttach(true); err != nil {
			return nil, err
		}
		nameC, err := cString(name)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(nameC))
		optsC := options[C.struct_bpf_ksyscall_opts]()
		optsC.bpf_cookie = C.__u64(opts.Cookie)
		optsC.retprobe = C.bool(opts.Retprobe)
		c, errno := C.bpf_program__attach_ksyscall(p.c, nameC, optsC)
		return c, errno
	})
}

// KprobeMultiOpts are options of [BPFProg.AttachKprobeMultiOpts] (struct bpf_kprobe_multi_opts).
type KprobeMultiOpts struct {
	Symbols   []string // names of the functions, or
	Addresses []uint64 // addresses of the functions in the kernel
	Cookies   []uint64 // one for each function or none, returned by bpf_get_attach_cookie() in the program
	Retprobe  bool     // attach to the functions' return
	// Session is for a program of a section "kprobe.session", which runs at the functions' entry and
	// return. It needs libbpf 1.5 and Linux 6.10.
	Session bool
}

// AttachKprobeMultiOpts attaches the program, of a section "kprobe.multi" or a variant of it, to several kernel
// functions at once. If pattern isn't empty, these are the functions whose names match it, where * matches any
// characters and ? matches one. If it is empty, they are the functions in opts. It needs Linux 5.18.
//
// Implements: bpf_program__attach_kprobe_multi_opts
func (p *BPFProg) AttachKprobeMultiOpts(pattern string, opts KprobeMultiOpts) (*BPFLink, error) {
	eventName := pattern
	if len(opts.Symbols) != 0 {
		eventName = strings.Join(opts.Symbols, ",")
	} else if len(opts.Addresses) != 0 {
		eventName = fmt.Sprintf("%#x", opts.Addresses)
	}
	target := fmt.Sprintf("%s of kernel functions %q", entryOrReturn(opts.Retprobe), eventName)
	return p.attach(kprobeType(opts.Retprobe), eventName, target, func() (*C.struct_bpf_link, error) {
		if opts.Session {
			if err := needLibbpf(1, 5, "bpf_kprobe_multi_opts.session"); err != nil {
				return nil, err
			}
		}
		count := len(opts.Symbols) + len(opts.Addresses)
		if len(opts.Cookies) != 0 && len(opts.Cookies) != count {
			return nil, fmt.Errorf("%d functions and %d cookies: %w", count, len(opts.Cookies), syscall.EINVAL)
		}
		patternC, err := cStringOrNil(pattern)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(patternC))
		symbols, err := cStrings(opts.Symbols)
		defer freeStrings(symbols)
		if err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_kprobe_multi(p.c, patternC, first(symbols), firstLong(opts.Addresses),
			(*C.uint64_t)(first(opts.Cookies)), C.size_t(count), C.bool(opts.Retprobe), C.bool(opts.Session))
		return c, errno
	})
}
