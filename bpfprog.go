package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// String returns the type's name in C, such as "BPF_PROG_TYPE_RAW_TRACEPOINT"; that of
// [BPFProgTypeUnspec] for a value that isn't known.
func (t BPFProgType) String() string {
	return nameOf(namesBPFProgType[:], t, namesBPFProgType[BPFProgTypeUnspec])
}

// Value returns the type's number.
//
// Deprecated: convert the type.
func (t BPFProgType) Value() uint64 { return uint64(t) }

// Name returns libbpf's name of the type, such as "raw_tracepoint"; the empty string if the linked
// libbpf doesn't know it.
//
// Implements: libbpf_bpf_prog_type_str
func (t BPFProgType) Name() string {
	return C.GoString(C.libbpf_bpf_prog_type_str(C.enum_bpf_prog_type(t)))
}

// String returns the type's name in C, such as "BPF_TRACE_FENTRY".
func (t BPFAttachType) String() string {
	return nameOf(namesBPFAttachType[:], t, "BPFAttachType unspecified")
}

// Name returns libbpf's name of the type, such as "trace_fentry"; the empty string if the linked
// libbpf doesn't know it.
//
// Implements: libbpf_bpf_attach_type_str
func (t BPFAttachType) Name() string {
	return C.GoString(C.libbpf_bpf_attach_type_str(C.enum_bpf_attach_type(t)))
}

// String returns the function's name without its "bpf_", such as "map_lookup_elem"; "unspec" for a
// value that isn't known.
func (f BPFFunc) String() string {
	return nameOf(namesBPFFunc[:], f, namesBPFFunc[BPFFuncUnspec])
}

// Value returns the function's number.
func (f BPFFunc) Value() uint64 { return uint64(f) }

// nameOf returns the name of an enumeration's value, or unknown.
func nameOf[T ~uint32](names []string, value T, unknown string) string {
	if int64(value) < int64(len(names)) && names[value] != "" {
		return names[value]
	}
	return unknown
}

// A BPFProg is a program of a [Module], which owns it.
//
// All methods may be called from several goroutines.
type BPFProg struct {
	module *Module
	c      *C.struct_bpf_program

	name, section string
	// pinPath is guarded by the object's lock.
	pinPath string
	// links is how many links are the program's. A link refers to it, and not to the program, so that it keeps no
	// module that was dropped.
	links *atomic.Int32
}

func newBPFProg(m *Module, c *C.struct_bpf_program) *BPFProg {
	return &BPFProg{
		module:  m,
		c:       c,
		name:    C.GoString(C.bpf_program__name(c)),
		section: C.GoString(C.bpf_program__section_name(c)),
		links:   new(atomic.Int32),
	}
}

// GetModule returns the module that the program belongs to.
func (p *BPFProg) GetModule() *Module {
	if p == nil {
		return nil
	}
	return p.module
}

// in returns the object that the program belongs to; for nil and the zero value, one that is closed.
func (p *BPFProg) in() *object {
	return p.GetModule().in()
}

// Name returns the name of the program's function.
//
// Implements: bpf_program__name
func (p *BPFProg) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// GetName is the older name of [BPFProg.Name].
//
// Deprecated: use Name.
func (p *BPFProg) GetName() string {
	return p.Name()
}

// SectionName returns the name of the ELF section that the program is in, such as
// "tracepoint/sched/sched_process_exec".
//
// Implements: bpf_program__section_name
func (p *BPFProg) SectionName() string {
	if p == nil {
		return ""
	}
	return p.section
}

// GetSectionName is the older name of [BPFProg.SectionName].
//
// Deprecated: use SectionName.
func (p *BPFProg) GetSectionName() string {
	return p.SectionName()
}

// FileDescriptor returns the file descriptor of the loaded program, which belongs to the module;
// a negative number if it isn't loaded or the module is closed.
//
// Implements: bpf_program__fd
func (p *BPFProg) FileDescriptor() int {
	if p.in().use() != nil {
		return -1
	}
	defer p.in().done()
	return int(C.bpf_program__fd(p.c))
}

// GetFd is the older name of [BPFProg.FileDescriptor].
//
// Deprecated: use FileDescriptor.
func (p *BPFProg) GetFd() int {
	return p.FileDescriptor()
}

// GetType returns the program's type.
//
// Implements: bpf_program__type
func (p *BPFProg) GetType() BPFProgType {
	if p.in().use() != nil {
		return 0
	}
	defer p.in().done()
	return BPFProgType(C.bpf_program__type(p.c))
}

// SetAutoload sets whether the program is loaded with its object, which it is unless its section's
// name begins with "?". It must be called before the load; after [Module.Prepare] it can turn the loading off, but
// not on: EBUSY.
//
// Implements: bpf_program__set_autoload
func (p *BPFProg) SetAutoload(autoload bool) error {
	return p.changeBeforeLoad(fmt.Sprintf("set autoload of program %q", p.Name()), func() error {
		// bpf_object__relocate of libbpf 1.7 has relocated only those that load, and find_kernel_btf_id has the
		// kernel's BTF only if one of them needs it.
		if autoload && p.in().stage == prepared && !bool(C.bpf_program__autoload(p.c)) {
			return syscall.EBUSY
		}
		return codeOf(C.bpf_program__set_autoload(p.c, C.bool(autoload)))
	})
}

// Autoload tells whether the program is loaded with its object.
//
// Implements: bpf_program__autoload
func (p *BPFProg) Autoload() bool {
	if p.in().use() != nil {
		return false
	}
	defer p.in().done()
	return bool(C.bpf_program__autoload(p.c))
}

// SetAutoattach sets whether [Module.AttachPrograms] attaches the program, which it does unless told
// otherwise.
//
// Implements: bpf_program__set_autoattach
func (p *BPFProg) SetAutoattach(autoattach bool) {
	if p.in().lock() != nil {
		return
	}
	defer p.in().unlock()
	C.bpf_program__set_autoattach(p.c, C.bool(autoattach))
}

// Autoattach tells whether [Module.AttachPrograms] attaches the program.
//
// Implements: bpf_program__autoattach
func (p *BPFProg) Autoattach() bool {
	if p.in().use() != nil {
		return false
	}
	defer p.in().done()
	return bool(C.bpf_program__autoattach(p.c))
}

// SetType sets the program's type, before the load. To give another type to a program for tracing, for LSM or to an
// extension, it needs libbpf 1.2.
//
// Implements: bpf_program__set_type
func (p *BPFProg) SetType(progType BPFProgType) error {
	return p.changeBeforeLoad(fmt.Sprintf("set type of program %q to %v", p.Name(), progType), func() error {
		switch before := BPFProgType(C.bpf_program__type(p.c)); before {
		case BPFProgTypeTracing, BPFProgTypeLsm, BPFProgTypeExt:
			// Older ones look for its target all the same, in the kernel's BTF that only those types need.
			if err := needLibbpf(1, 2, "bpf_program__set_type of a program for tracing"); before != progType && err != nil {
				return err
			}
		}
		return codeOf(C.bpf_program__set_type(p.c, C.enum_bpf_prog_type(progType)))
	})
}

// SetProgramType is SetType without an error.
//
// Deprecated: use [BPFProg.SetType].
func (p *BPFProg) SetProgramType(progType BPFProgType) {
	_ = p.SetType(progType)
}

// ExpectedAttachType returns the kind of hook that the program is for.
//
// Implements: bpf_program__expected_attach_type
func (p *BPFProg) ExpectedAttachType() BPFAttachType {
	if p.in().use() != nil {
		return 0
	}
	defer p.in().done()
	return BPFAttachType(C.bpf_program__expected_attach_type(p.c))
}

// SetExpectedAttachType sets the kind of hook that the program is for, before the load.
//
// Implements: bpf_program__set_expected_attach_type
func (p *BPFProg) SetExpectedAttachType(attachType BPFAttachType) error {
	return p.changeBeforeLoad(fmt.Sprintf("set attach type of program %q to %v", p.Name(), attachType), func() error {
		return codeOf(C.bpf_program__set_expected_attach_type(p.c, C.enum_bpf_attach_type(attachType)))
	})
}

// SetAttachType is SetExpectedAttachType without an error.
//
// Deprecated: use [BPFProg.SetExpectedAttachType].
func (p *BPFProg) SetAttachType(attachType BPFAttachType) {
	_ = p.SetExpectedAttachType(attachType)
}

// SetAttachTarget sets what a tracing program is attached to, before the load: the function
// attachFuncName of the kernel or, if attachProgFD isn't 0, of the BPF program that it is a
// descriptor of.
//
// Implements: bpf_program__set_attach_target
func (p *BPFProg) SetAttachTarget(attachProgFD int, attachFuncName string) error {
	return p.changeBeforeLoad(fmt.Sprintf("set attach target of program %q to %q", p.Name(), attachFuncName), func() error {
		fd, err := cInt(attachProgFD, "descriptor")
		if err != nil {
			return err
		}
		name, err := cString(attachFuncName)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(name))
		return codeOf(C.bpf_program__set_attach_target(p.c, fd, name))
	})
}

// Pin keeps the loaded program in a BPF file system. A relative path is taken from the working
// directory.
//
// Implements: bpf_program__pin
func (p *BPFProg) Pin(path string) error {
	return p.change(fmt.Sprintf("pin program %q at %q", p.Name(), path), func() error {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		pathC, err := cString(abs)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(pathC))
		if err := codeOf(C.bpf_program__pin(p.c, pathC)); err != nil {
			return err
		}
		p.pinPath = abs
		return nil
	})
}

// Unpin removes the program from the BPF file system.
//
// Implements: bpf_program__unpin
func (p *BPFProg) Unpin(path string) error {
	return p.change(fmt.Sprintf("unpin program %q from %q", p.Name(), path), func() error {
		pathC, err := cString(path)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(pathC))
		if err := codeOf(C.bpf_program__unpin(p.c, pathC)); err != nil {
			return err
		}
		p.pinPath = ""
		return nil
	})
}

// PinPath returns where [BPFProg.Pin] pinned the program; the empty string if it isn't pinned.
func (p *BPFProg) PinPath() string {
	if p.in().use() != nil {
		return ""
	}
	defer p.in().done()
	return p.pinPath
}

// GetPinPath is the older name of [BPFProg.PinPath].
//
// Deprecated: use PinPath.
func (p *BPFProg) GetPinPath() string {
	return p.PinPath()
}

// loaded returns the descriptor of the program, while the object is in use or locked. That of one that isn't loaded is
// negative, which means something else to the kernel: "detach" to XDP, "whatever is there" when detaching.
func (p *BPFProg) loaded() (C.int, error) {
	fd := C.bpf_program__fd(p.c)
	if fd < 0 {
		return -1, fmt.Errorf("program %q isn't loaded: %w", p.Name(), syscall.EBADF)
	}
	return fd, nil
}

// change runs a call that changes the program.
func (p *BPFProg) change(what string, call func() error) error {
	if err := p.in().lock(); err != nil {
		return failed(err, "%s", what)
	}
	defer p.in().unlock()
	return watched(what, call)
}

// changeBeforeLoad is change for what must be done before the load.
func (p *BPFProg) changeBeforeLoad(what string, call func() error) error {
	return p.change(what, func() error { return p.in().stage.beforeLoad(call()) })
}

// attach attaches the program, which must be loaded, to target, by a call of libbpf's.
func (p *BPFProg) attach(linkType LinkType, eventName, target string, do func() (*C.struct_bpf_link, error)) (*BPFLink, error) {
	return p.GetModule().attach(p, linkType, eventName, fmt.Sprintf("attach program %q to %s", p.Name(), target), do)
}

// AttachGeneric attaches the program to what its section's name says, such as
// "tp/sched/sched_process_exec" or "fentry/do_unlinkat". It gives ErrUnsupported for sections that
// libbpf doesn't attach by itself.
//
// Implements: bpf_program__attach
func (p *BPFProg) AttachGeneric() (*BPFLink, error) {
	return p.attach(Tracing, p.SectionName(), fmt.Sprintf("its section's target %q", p.SectionName()), func() (*C.struct_bpf_link, error) {
		if c, ok, err := p.attachToFile(); ok {
			return c, err
		}
		kind, target, _ := strings.Cut(p.section, "/")
		if kind == "ksyscall" || kind == "kretsyscall" {
			if err := checkAttach(true); err != nil {
				return nil, err
			}
		}
		c, errno := C.bpf_program__attach(p.c)
		if c == nil && (kind == "tp" || kind == "tracepoint") {
			category, name, _ := strings.Cut(target, "/")
			errno = explainTracefs(errno, category, name)
		}
		return c, errno
	})
}

// attachToFile attaches a program to the file that its section names, if it names one, by the rules of libbpf
// (attach_uprobe, attach_uprobe_multi, attach_usdt).
func (p *BPFProg) attachToFile() (c *C.struct_bpf_link, ok bool, err error) {
	kind, target, _ := strings.Cut(p.section, "/")
	path, function, _ := strings.Cut(target, ":")
	if path == "" || function == "" || C.bpf_program__type(p.c) != C.BPF_PROG_TYPE_KPROBE {
		return nil, false, nil
	}
	const everyProcess = -1
	switch kind {
	case "uprobe", "uprobe.s", "uretprobe", "uretprobe.s":
		opts := UprobeOpts{FuncName: function, Retprobe: strings.HasPrefix(kind, "uretprobe")}
		var offset int64
		if plus := strings.LastIndexByte(function, '+'); plus >= 0 {
			if n, err := strconv.ParseInt(function[plus+1:], 0, 64); err == nil {
				opts.FuncName, offset = function[:plus], n
			}
		}
		if opts.Retprobe && offset != 0 {
			return nil, true, fmt.Errorf("offset in a function that returns: %w", syscall.EINVAL)
		}
		c, err = p.uprobe(everyProcess, path, uint64(offset), opts)
	case "uprobe.multi", "uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s", "uprobe.session", "uprobe.session.s":
		c, err = p.uprobeMulti(everyProcess, path, function, UprobeMultiOpts{
			Retprobe: strings.HasPrefix(kind, "uretprobe"),
			Session:  strings.HasPrefix(kind, "uprobe.session"),
		})
	case "usdt":
		provider, name, _ := strings.Cut(function, ":")
		name, _, _ = strings.Cut(name, ":")
		if provider == "" || name == "" {
			return nil, false, nil
		}
		c, err = p.usdt(everyProcess, path, provider, name, USDTOpts{})
	default:
		return nil, false, nil
	}
	return c, true, err
}

// AttachTracepoint attaches the program to a tracepoint, by the names of its folders in tracefs,
// such as "sched" and "sched_process_exec". It reads tracefs, which must be mounted, and which only root
// may read without CAP_DAC_READ_SEARCH, unless it is mounted for a group (mode=750,gid=GROUP).
//
// Implements: bpf_program__attach_tracepoint
func (p *BPFProg) AttachTracepoint(category, name string) (*BPFLink, error) {
	return p.AttachTracepointOpts(category, name, TracepointOpts{})
}

// TracepointOpts are options of [BPFProg.AttachTracepointOpts] (struct bpf_tracepoint_opts).
type TracepointOpts struct {
	Cookie uint64 // what bpf_get_attach_cookie() returns in the program (Linux 5.15)
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
		optsC := C.struct_bpf_tracepoint_opts{sz: C.sizeof_struct_bpf_tracepoint_opts, bpf_cookie: C.__u64(opts.Cookie)}
		c, errno := C.bpf_program__attach_tracepoint_opts(p.c, categoryC, nameC, &optsC)
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

// explainTracefs adds to libbpf's error for a tracepoint what is wrong with tracefs, if anything is.
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

// AttachRawTracepoint attaches the program to a raw tracepoint, by its name alone, such as
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
	Cookie uint64 // what bpf_get_attach_cookie() returns in the program (Linux 6.10)
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
	// Cookie is what bpf_get_attach_cookie() returns in the program (Linux 5.19; at raw tracepoints
	// libbpf 1.4 and Linux 6.10).
	Cookie uint64
}

// AttachTraceOpts attaches the program to the function of the kernel (fentry, fexit, fmod_ret) or the
// raw tracepoint with BTF (tp_btf) that its section names or that [BPFProg.SetAttachTarget] has set.
//
// Implements: bpf_program__attach_trace, bpf_program__attach_trace_opts
func (p *BPFProg) AttachTraceOpts(opts TraceOpts) (*BPFLink, error) {
	return p.attach(Tracing, p.SectionName(), fmt.Sprintf("its target %q", p.SectionName()), func() (*C.struct_bpf_link, error) {
		optsC := C.struct_bpf_trace_opts{sz: C.sizeof_struct_bpf_trace_opts, cookie: C.__u64(opts.Cookie)}
		c, errno := C.bpf_program__attach_trace_opts(p.c, &optsC)
		return c, errno
	})
}

// AttachFreplace puts the program, of a section "freplace", in the place of a global function of
// another BPF program, of which targetFd is a descriptor. With neither, 0 and "", it is the function
// that [BPFProg.SetAttachTarget] has set.
//
// Implements: bpf_program__attach_freplace
func (p *BPFProg) AttachFreplace(targetFd int, attachFuncName string) (*BPFLink, error) {
	target := fmt.Sprintf("function %q of program %d", attachFuncName, targetFd)
	return p.attach(Tracing, attachFuncName, target, func() (*C.struct_bpf_link, error) {
		fd, err := cInt(targetFd, "descriptor")
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

// AttachLSM attaches the program to the security hook that its section names. The kernel runs it
// only if bpf is among its active security modules.
//
// Implements: bpf_program__attach_lsm
func (p *BPFProg) AttachLSM() (*BPFLink, error) {
	return p.attach(LSM, p.SectionName(), fmt.Sprintf("security hook %q", p.SectionName()), func() (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_lsm(p.c)
		return c, errno
	})
}

// AttachPerfEvent attaches the program to the perf event that fd is a descriptor of, which belongs to
// the link from then on: it is closed with it, and must not be closed by the caller.
//
// Implements: bpf_program__attach_perf_event
func (p *BPFProg) AttachPerfEvent(fd int) (*BPFLink, error) {
	return p.AttachPerfEventOpts(fd, PerfEventOpts{})
}

// PerfEventOpts are options of [BPFProg.AttachPerfEventOpts] (struct bpf_perf_event_opts).
type PerfEventOpts struct {
	Cookie uint64 // what bpf_get_attach_cookie() returns in the program (Linux 5.15)
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
		optsC := C.struct_bpf_perf_event_opts{sz: C.sizeof_struct_bpf_perf_event_opts, bpf_cookie: C.__u64(opts.Cookie)}
		c, errno := C.bpf_program__attach_perf_event_opts(p.c, event, &optsC)
		return c, errno
	})
}

// ProbeAttachMode is how a kprobe or uprobe is made (enum probe_attach_mode).
type ProbeAttachMode uint32

// The ways of making probes. What the kernel doesn't have gives ErrUnsupported. All but the default
// need libbpf 1.2.
const (
	ProbeAttachModeDefault ProbeAttachMode = iota // the newest that the kernel has
	ProbeAttachModeLegacy                         // an event in tracefs, which must be mounted
	ProbeAttachModePerf                           // a perf event (Linux 4.17)
	ProbeAttachModeLink                           // a perf event with a BPF link (Linux 5.15)
)

// KprobeOpts are options of [BPFProg.AttachKprobeOpts] (struct bpf_kprobe_opts).
type KprobeOpts struct {
	Offset     uint64          // from the function's beginning or, if it has no name, the address
	Cookie     uint64          // what bpf_get_attach_cookie() returns in the program (Linux 5.15)
	Retprobe   bool            // at the function's return
	AttachMode ProbeAttachMode // how the probe is made
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

// AttachKprobeOpts attaches the program to a kernel function, as opts say: at an offset, with a cookie,
// by a certain kind of probe.
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
		c := C.struct_bpf_kprobe_opts{
			sz:         C.sizeof_struct_bpf_kprobe_opts,
			bpf_cookie: C.__u64(opts.Cookie),
			offset:     C.size_t(opts.Offset),
			retprobe:   C.bool(opts.Retprobe),
		}
		C.golibbpf_kprobe_mode(&c, C.uint(opts.AttachMode))
		link, errno := C.bpf_program__attach_kprobe_opts(p.c, name, &c)
		return link, errno
	})
}

func kprobeType(isReturn bool) LinkType {
	if isReturn {
		return Kretprobe
	}
	return Kprobe
}

func uprobeType(isReturn bool) LinkType {
	if isReturn {
		return Uretprobe
	}
	return Uprobe
}

func needAttachMode(mode ProbeAttachMode) error {
	if mode == ProbeAttachModeDefault {
		return nil
	}
	return needLibbpf(1, 2, "bpf_kprobe_opts.attach_mode")
}

// KsyscallOpts are options of [BPFProg.AttachKsyscall] (struct bpf_ksyscall_opts).
type KsyscallOpts struct {
	Cookie   uint64 // what bpf_get_attach_cookie() returns in the program (Linux 5.15)
	Retprobe bool   // at the system call's return
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
		optsC := C.struct_bpf_ksyscall_opts{
			sz:         C.sizeof_struct_bpf_ksyscall_opts,
			bpf_cookie: C.__u64(opts.Cookie),
			retprobe:   C.bool(opts.Retprobe),
		}
		c, errno := C.bpf_program__attach_ksyscall(p.c, nameC, &optsC)
		return c, errno
	})
}

// KprobeMultiOpts are options of [BPFProg.AttachKprobeMultiOpts] (struct bpf_kprobe_multi_opts).
type KprobeMultiOpts struct {
	Symbols   []string // the functions' names, or
	Addresses []uint64 // their addresses in the kernel
	Cookies   []uint64 // one for each function or none: what bpf_get_attach_cookie() returns in the program
	Retprobe  bool     // at the functions' return
	// Session is for a program of a section "kprobe.session", which runs at the functions' entry and
	// return. It needs libbpf 1.5 and Linux 6.10.
	Session bool
}

// AttachKprobeMultiOpts attaches the program, of a section "kprobe.multi" or another of this kind, to
// several kernel functions at once: to those whose names match pattern, in which * stands for any
// characters and ? for one or, if it is empty, to those that opts name. It needs Linux 5.18.
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

// cStrings returns copies for C, to be freed by freeStrings, also if there is an error.
func cStrings(strings []string) (copies []*C.char, err error) {
	for _, s := range strings {
		c, err := cString(s)
		if err != nil {
			return copies, err
		}
		copies = append(copies, c)
	}
	return copies, nil
}

func freeStrings(copies []*C.char) {
	for _, c := range copies {
		C.free(unsafe.Pointer(c))
	}
}

func firstLong(s []uint64) *C.ulong { return (*C.ulong)(unsafe.Pointer(first(s))) }

// first returns the address of a slice's elements; nil if it has none.
func first[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

func entryOrReturn(isReturn bool) string {
	if isReturn {
		return "return"
	}
	return "entry"
}

// AttachUprobe attaches the program to the function at an offset in the executable or library at path,
// in the process pid, or in all processes if pid is -1, or in this one if it is 0.
//
// A path without a slash is a name to search for, as libbpf does: that of a library (it ends in ".so" or has ".so."
// in it) in the folders of LD_LIBRARY_PATH and where the system's libraries are, that of an executable in those of
// PATH, in /usr/bin and /usr/sbin. Any other path that is relative begins at the working directory.
//
// Implements: bpf_program__attach_uprobe, bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachUprobe(pid int, path string, offset uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{})
}

// AttachURetprobe is AttachUprobe for the function's return.
//
// Implements: bpf_program__attach_uprobe, bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachURetprobe(pid int, path string, offset uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{Retprobe: true})
}

// AttachUprobeWithOpts is AttachUprobe with a cookie, which bpf_get_attach_cookie() returns in the
// program (Linux 5.15).
//
// Implements: bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachUprobeWithOpts(pid int, path string, offset uint64, cookie uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{Cookie: cookie})
}

// AttachURetprobeWithOpts is AttachURetprobe with a cookie, which bpf_get_attach_cookie() returns in
// the program (Linux 5.15).
//
// Implements: bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachURetprobeWithOpts(pid int, path string, offset uint64, cookie uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{Cookie: cookie, Retprobe: true})
}

// UprobeOpts are options of [BPFProg.AttachUprobeOpts] (struct bpf_uprobe_opts).
type UprobeOpts struct {
	FuncName     string          // the function from whose beginning the offset counts; "name@VERSION" in a library
	RefCtrOffset uint64          // where in the file a static tracepoint's semaphore is, which is raised meanwhile
	Cookie       uint64          // what bpf_get_attach_cookie() returns in the program (Linux 5.15)
	Retprobe     bool            // at the function's return
	AttachMode   ProbeAttachMode // how the probe is made
}

// AttachUprobeOpts is AttachUprobe as opts say: with a function's name, with a cookie, by a certain kind
// of probe.
//
// A function is looked up as libbpf 1.7 does, in .dynsym, then in .symtab, of the file at path, which may be
// "ARCHIVE!/FILE" for one that a zip archive stores uncompressed. The file is read, not mapped, so that whoever can
// write to it can't harm this process: a damaged one is [LibbpfErrnoFormat], one of which more than 1 GiB would have to
// be looked at is EFBIG. A name that stands for several functions is LibbpfErrnoFormat, too, one that isn't there is
// ENOENT.
//
// Implements: bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachUprobeOpts(pid int, path string, offset uint64, opts UprobeOpts) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, opts)
}

func (p *BPFProg) attachUprobe(pid int, path string, offset uint64, opts UprobeOpts) (*BPFLink, error) {
	eventName := fmt.Sprintf("%s:%d:%s%d", path, pid, opts.FuncName, offset)
	function := fmt.Sprintf("the function at offset %#x", offset)
	if opts.FuncName != "" {
		function = fmt.Sprintf("%q+%#x", opts.FuncName, offset)
	}
	target := fmt.Sprintf("%s of %s of %q, in process %d", entryOrReturn(opts.Retprobe), function, path, pid)
	return p.attach(uprobeType(opts.Retprobe), eventName, target, func() (*C.struct_bpf_link, error) {
		return p.uprobe(pid, path, offset, opts)
	})
}

func (p *BPFProg) uprobe(pid int, path string, offset uint64, opts UprobeOpts) (*C.struct_bpf_link, error) {
	if err := needAttachMode(opts.AttachMode); err != nil {
		return nil, err
	}
	process, err := targetProcess(pid)
	if err != nil {
		return nil, err
	}
	file, err := targetPath(path)
	if err != nil {
		return nil, err
	}
	if opts.FuncName != "" {
		var start uint64
		if file, start, err = findFunction(file, opts.FuncName); err != nil {
			return nil, err
		}
		offset += start
	}
	pathC := C.CString(file)
	defer C.free(unsafe.Pointer(pathC))
	c := C.struct_bpf_uprobe_opts{
		sz:             C.sizeof_struct_bpf_uprobe_opts,
		ref_ctr_offset: C.size_t(opts.RefCtrOffset),
		bpf_cookie:     C.__u64(opts.Cookie),
		retprobe:       C.bool(opts.Retprobe),
	}
	C.golibbpf_uprobe_mode(&c, C.uint(opts.AttachMode))
	link, errno := C.bpf_program__attach_uprobe_opts(p.c, process, pathC, C.size_t(offset), &c)
	return link, errno
}

// AttachUprobeMulti attaches the program, of a section "uprobe.multi", to the functions at several
// offsets of the executable or library at path at once. Cookies, one for each offset or none, are what
// bpf_get_attach_cookie() returns in the program. Pid and path are those of [BPFProg.AttachUprobe]. It needs libbpf
// 1.3 and Linux 6.6.
//
// Implements: bpf_program__attach_uprobe_multi
func (p *BPFProg) AttachUprobeMulti(pid int, path string, offsets, cookies []uint64) (*BPFLink, error) {
	if err := needLibbpf(1, 3, "bpf_program__attach_uprobe_multi"); err != nil {
		return nil, failed(err, "attach program %q", p.Name())
	}
	return p.attachUprobeMulti(pid, path, "", UprobeMultiOpts{Offsets: offsets, Cookies: cookies})
}

// AttachURetprobeMulti is AttachUprobeMulti for the functions' returns.
//
// Implements: bpf_program__attach_uprobe_multi
func (p *BPFProg) AttachURetprobeMulti(pid int, path string, offsets, cookies []uint64) (*BPFLink, error) {
	if err := needLibbpf(1, 3, "bpf_program__attach_uprobe_multi"); err != nil {
		return nil, failed(err, "attach program %q", p.Name())
	}
	return p.attachUprobeMulti(pid, path, "", UprobeMultiOpts{Offsets: offsets, Cookies: cookies, Retprobe: true})
}

// UprobeMultiOpts are options of [BPFProg.AttachUprobeMultiOpts] (struct bpf_uprobe_multi_opts).
type UprobeMultiOpts struct {
	Symbols       []string // the functions' names
	Offsets       []uint64 // where the functions are in the file, instead of names
	RefCtrOffsets []uint64 // one for each function or none: where its semaphore is, which is raised meanwhile
	Cookies       []uint64 // one for each function or none: what bpf_get_attach_cookie() returns in the program
	Retprobe      bool     // at the functions' return
	// Session is for a program of a section "uprobe.session", which runs at the functions' entry and
	// return. It needs libbpf 1.6 and Linux 6.13.
	Session bool
}

// AttachUprobeMultiOpts is AttachUprobeMulti for the functions whose names match pattern, in which *
// stands for any characters and ? for one or, if it is empty, for those that opts name. They are looked up like that of
// [BPFProg.AttachUprobeOpts]; a pattern is compared with the names in .symtab, or with those in .dynsym if it matches
// none. More than 1,048,576 are E2BIG.
//
// Implements: bpf_program__attach_uprobe_multi
func (p *BPFProg) AttachUprobeMultiOpts(pid int, path, pattern string, opts UprobeMultiOpts) (*BPFLink, error) {
	if err := needLibbpf(1, 3, "bpf_program__attach_uprobe_multi"); err != nil {
		return nil, failed(err, "attach program %q", p.Name())
	}
	return p.attachUprobeMulti(pid, path, pattern, opts)
}

func (p *BPFProg) attachUprobeMulti(pid int, path, pattern string, opts UprobeMultiOpts) (*BPFLink, error) {
	functions := pattern
	if len(opts.Symbols) != 0 {
		functions = strings.Join(opts.Symbols, ",")
	} else if len(opts.Offsets) != 0 {
		functions = fmt.Sprintf("%#x", opts.Offsets)
	}
	eventName := fmt.Sprintf("%s:%d:%s", path, pid, functions)
	target := fmt.Sprintf("%s of the functions %s of %q, in process %d", entryOrReturn(opts.Retprobe), functions, path, pid)
	return p.attach(uprobeType(opts.Retprobe), eventName, target, func() (*C.struct_bpf_link, error) {
		return p.uprobeMulti(pid, path, pattern, opts)
	})
}

func (p *BPFProg) uprobeMulti(pid int, path, pattern string, opts UprobeMultiOpts) (*C.struct_bpf_link, error) {
	if opts.Session {
		if err := needLibbpf(1, 6, "bpf_uprobe_multi_opts.session"); err != nil {
			return nil, err
		}
	}
	count := len(opts.Symbols) + len(opts.Offsets)
	if pattern == "" && count == 0 || len(opts.Cookies) != 0 && len(opts.Cookies) != count ||
		len(opts.RefCtrOffsets) != 0 && len(opts.RefCtrOffsets) != count {
		return nil, fmt.Errorf("%d functions, %d cookies and %d semaphores: %w", count, len(opts.Cookies), len(opts.RefCtrOffsets), syscall.EINVAL)
	}
	if pattern != "" && count != 0 || len(opts.Symbols) != 0 && len(opts.Offsets) != 0 {
		return nil, fmt.Errorf("more than one of pattern, names and offsets: %w", syscall.EINVAL)
	}
	process, err := targetProcess(pid)
	if err != nil {
		return nil, err
	}
	file, err := targetPath(path)
	if err != nil {
		return nil, err
	}
	offsets := opts.Offsets
	if len(offsets) == 0 {
		if offsets, err = findFunctions(file, pattern, opts.Symbols); err != nil {
			return nil, err
		}
	}
	pathC := C.CString(file)
	defer C.free(unsafe.Pointer(pathC))
	c, errno := C.golibbpf_attach_uprobe_multi(p.c, process, pathC, firstLong(offsets), firstLong(opts.RefCtrOffsets),
		(*C.uint64_t)(first(opts.Cookies)), C.size_t(len(offsets)), C.bool(opts.Retprobe), C.bool(opts.Session))
	return c, errno
}

// targetProcess returns pid for C: a process, 0 for this one, or -1 for all.
func targetProcess(pid int) (C.pid_t, error) {
	if pid < -1 {
		return 0, fmt.Errorf("process %d: %w", pid, syscall.EINVAL)
	}
	n, err := cInt(pid, "process")
	return C.pid_t(n), err
}

// targetPath returns the path of the executable or library to attach to. libbpf searches for names without a slash,
// too, but bpf_program__attach_uprobe_multi() (1.7) only if it gets a pattern.
func targetPath(path string) (string, error) {
	switch {
	case path == "":
		return "", fmt.Errorf("empty path: %w", syscall.EINVAL)
	case strings.IndexByte(path, 0) >= 0:
		return "", errZeroByte
	case strings.Contains(path, "/"):
		return path, nil
	}
	folders, access := []string{os.Getenv("PATH"), "/usr/bin:/usr/sbin"}, uint32(unix.R_OK|unix.X_OK)
	if strings.HasSuffix(path, ".so") || strings.Contains(path, ".so.") {
		folders, access = []string{os.Getenv("LD_LIBRARY_PATH"), "/usr/lib64:/usr/lib", libraryFolders[runtime.GOARCH]}, unix.R_OK
	}
	for folder := range strings.SplitSeq(strings.Join(folders, ":"), ":") {
		found := folder + "/" + path
		if folder != "" && unix.Faccessat(unix.AT_FDCWD, found, access, unix.AT_EACCESS) == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%q is in none of the folders that are searched (a file of the working directory is %q): %w", path, "./"+path, syscall.ENOENT)
}

// libraryFolders are those of Debian, by architecture.
var libraryFolders = map[string]string{
	"386":      "/lib/i386-linux-gnu",
	"amd64":    "/lib/x86_64-linux-gnu",
	"arm":      "/lib/arm-linux-gnueabihf",
	"arm64":    "/lib/aarch64-linux-gnu",
	"mips64le": "/lib/mips64el-linux-gnuabi64",
	"mipsle":   "/lib/mipsel-linux-gnu",
	"ppc64le":  "/lib/powerpc64le-linux-gnu",
	"riscv64":  "/lib/riscv64-linux-gnu",
	"s390x":    "/lib/s390x-linux-gnu",
}

// AttachUSDT attaches the program to the static tracepoint provider:name of the executable or library
// at binaryPath, in the process pid, or in all processes if pid is -1, or in this one if it is 0. What
// [BPFProg.AttachUprobe] says about paths holds here, too.
//
// libbpf looks for it itself, in a file that it maps. The file is checked first: what libbpf can't read is
// [LibbpfErrnoFormat], or EINVAL for the tracepoint's arguments. Until the method returns, a lease (fcntl(2)) makes others
// wait that would open the file for writing or truncate it; a file that is open for writing already is ETXTBSY. There is
// no lease on another user's file without CAP_LEASE, nor in some file systems: who changes such a file at the same time
// can still end this process.
//
// Implements: bpf_program__attach_usdt
func (p *BPFProg) AttachUSDT(pid int, binaryPath string, provider string, name string) (*BPFLink, error) {
	return p.AttachUSDTOpts(pid, binaryPath, provider, name, USDTOpts{})
}

// USDTOpts are options of [BPFProg.AttachUSDTOpts] (struct bpf_usdt_opts).
type USDTOpts struct {
	Cookie uint64 // what bpf_usdt_cookie() of usdt.bpf.h returns in the program
}

// AttachUSDTOpts is AttachUSDT with options.
//
// Implements: bpf_program__attach_usdt
func (p *BPFProg) AttachUSDTOpts(pid int, binaryPath string, provider string, name string, opts USDTOpts) (*BPFLink, error) {
	eventName := fmt.Sprintf("%s:%d:%s:%s", binaryPath, pid, provider, name)
	target := fmt.Sprintf("static tracepoint %q of %q, in process %d", provider+":"+name, binaryPath, pid)
	return p.attach(USDT, eventName, target, func() (*C.struct_bpf_link, error) {
		return p.usdt(pid, binaryPath, provider, name, opts)
	})
}

func (p *BPFProg) usdt(pid int, path, provider, name string, opts USDTOpts) (*C.struct_bpf_link, error) {
	process, err := targetProcess(pid)
	if err != nil {
		return nil, err
	}
	found, err := targetPath(path)
	if err != nil {
		return nil, err
	}
	names, err := cStrings([]string{provider, name})
	defer freeStrings(names)
	if err != nil {
		return nil, err
	}
	if err := checkAttach(false); err != nil {
		return nil, err
	}
	file, held, err := checkUSDTTarget(found, provider, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	heldC := C.CString(held)
	defer C.free(unsafe.Pointer(heldC))
	optsC := C.struct_bpf_usdt_opts{sz: C.sizeof_struct_bpf_usdt_opts, usdt_cookie: C.__u64(opts.Cookie)}
	c, errno := C.bpf_program__attach_usdt(p.c, process, heldC, names[0], names[1], &optsC)
	return c, errno
}

// AttachXDP attaches the program to a network interface.
//
// Implements: bpf_program__attach_xdp
func (p *BPFProg) AttachXDP(deviceName string) (*BPFLink, error) {
	return p.attachInterface(XDP, deviceName, func(index C.int) (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_xdp(p.c, index)
		return c, errno
	})
}

// OrderOpts say where a program stands among the others of its hook (struct bpf_tcx_opts,
// bpf_netkit_opts, bpf_cgroup_opts). Without any, it is the last one.
type OrderOpts struct {
	Flags            AttachFlag // BPFFBefore or BPFFAfter: all others, or the one that is named
	RelativeFd       int        // names a program or, with BPFFLink, a link, by a descriptor
	RelativeId       uint32     // names it, with BPFFID, by its id
	ExpectedRevision uint64     // unless 0, the hook must have it: it changes with each program that comes or goes
}

func (o OrderOpts) c() (C.struct_golibbpf_order, error) {
	fd, err := cInt(o.RelativeFd, "RelativeFd")
	return C.struct_golibbpf_order{
		flags:             C.uint32_t(o.Flags),
		relative_fd:       C.uint32_t(fd),
		relative_id:       C.uint32_t(o.RelativeId),
		expected_revision: C.uint64_t(o.ExpectedRevision),
	}, err
}

// AttachTCX attaches the program, of a section "tcx/ingress" or "tcx/egress", to a network interface.
// It needs libbpf 1.3 and Linux 6.6.
//
// Implements: bpf_program__attach_tcx
func (p *BPFProg) AttachTCX(deviceName string, opts OrderOpts) (*BPFLink, error) {
	return p.attachInterface(TCX, deviceName, func(index C.int) (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 3, "bpf_program__attach_tcx"); err != nil {
			return nil, err
		}
		order, err := opts.c()
		if err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_tcx(p.c, index, order)
		return c, errno
	})
}

// AttachNetkit attaches the program, of a section "netkit/primary" or "netkit/peer", to a netkit
// interface, by the name of the primary one in both cases. It needs libbpf 1.3 and Linux 6.7.
//
// Implements: bpf_program__attach_netkit
func (p *BPFProg) AttachNetkit(deviceName string, opts OrderOpts) (*BPFLink, error) {
	return p.attachInterface(Netkit, deviceName, func(index C.int) (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 3, "bpf_program__attach_netkit"); err != nil {
			return nil, err
		}
		order, err := opts.c()
		if err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_netkit(p.c, index, order)
		return c, errno
	})
}

func (p *BPFProg) attachInterface(linkType LinkType, name string, do func(index C.int) (*C.struct_bpf_link, error)) (*BPFLink, error) {
	return p.attach(linkType, name, fmt.Sprintf("network interface %q", name), func() (*C.struct_bpf_link, error) {
		index, err := interfaceIndex(name)
		if err != nil {
			return nil, err
		}
		return do(index)
	})
}

// NetfilterOpts are options of [BPFProg.AttachNetfilter] (struct bpf_netfilter_opts).
type NetfilterOpts struct {
	ProtocolFamily uint32 // NFPROTO_IPV4, which is unix.AF_INET, or NFPROTO_IPV6, unix.AF_INET6
	Hook           uint32 // from NF_INET_PRE_ROUTING, 0, to NF_INET_POST_ROUTING, 4
	Priority       int32  // among the programs of the hook, the one with the least is first
	Flags          uint32 // BPF_F_NETFILTER_IP_DEFRAG, 1, puts fragments together first (Linux 6.6)
}

// AttachNetfilter attaches the program, of a section "netfilter", to a hook of the calling thread's
// network namespace. It needs libbpf 1.3 and Linux 6.4.
//
// Implements: bpf_program__attach_netfilter
func (p *BPFProg) AttachNetfilter(opts NetfilterOpts) (*BPFLink, error) {
	eventName := fmt.Sprintf("netfilter:%d:%d:%d", opts.ProtocolFamily, opts.Hook, opts.Priority)
	target := fmt.Sprintf("netfilter hook %d of protocol family %d", opts.Hook, opts.ProtocolFamily)
	return p.attach(Netfilter, eventName, target, func() (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 3, "bpf_program__attach_netfilter"); err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_netfilter(p.c, C.uint32_t(opts.ProtocolFamily), C.uint32_t(opts.Hook), C.int32_t(opts.Priority),
			C.uint32_t(opts.Flags))
		return c, errno
	})
}

// AttachSockMap attaches the program (sk_msg, sk_skb) to the sockets in a map of type SockMap or
// SockHash, of which mapFd is a descriptor. It needs libbpf 1.5 and Linux 6.10; [BPFProg.AttachGenericFD]
// does the same without a link.
//
// Implements: bpf_program__attach_sockmap
func (p *BPFProg) AttachSockMap(mapFd int) (*BPFLink, error) {
	target := fmt.Sprintf("the sockets in map %d", mapFd)
	return p.attach(SockMap, target, target, func() (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 5, "bpf_program__attach_sockmap"); err != nil {
			return nil, err
		}
		fd, err := cInt(mapFd, "descriptor")
		if err != nil {
			return nil, err
		}
		c, errno := C.bpf_program__attach_sockmap(p.c, fd)
		return c, errno
	})
}

func interfaceIndex(name string) (C.int, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		// The net package has an error of its own for what the kernel calls ENODEV.
		return 0, fmt.Errorf("network interface %q: %w: %w", name, err, syscall.ENODEV)
	}
	return C.int(device.Index), nil
}

// AttachCgroup attaches the program to the cgroup (version 2) of the given folder.
//
// Implements: bpf_program__attach_cgroup
func (p *BPFProg) AttachCgroup(cgroupV2DirPath string) (*BPFLink, error) {
	return p.attachCgroup(cgroupV2DirPath, func(fd C.int) (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_cgroup(p.c, fd)
		return c, errno
	})
}

// AttachCgroupOpts is AttachCgroup at a place among the other programs of the cgroup. It needs libbpf 1.6
// and Linux 6.17, or an older one to which that was brought, as Debian's 6.12.117.
//
// Implements: bpf_program__attach_cgroup_opts
func (p *BPFProg) AttachCgroupOpts(cgroupV2DirPath string, opts OrderOpts) (*BPFLink, error) {
	return p.attachCgroup(cgroupV2DirPath, func(fd C.int) (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 6, "bpf_program__attach_cgroup_opts"); err != nil {
			return nil, err
		}
		order, err := opts.c()
		if err != nil {
			return nil, err
		}
		c, errno := C.golibbpf_attach_cgroup(p.c, fd, order)
		return c, errno
	})
}

func (p *BPFProg) attachCgroup(path string, do func(fd C.int) (*C.struct_bpf_link, error)) (*BPFLink, error) {
	return p.attach(Cgroup, path, fmt.Sprintf("cgroup %q", path), func() (c *C.struct_bpf_link, err error) {
		err = inCgroup(path, func(fd C.int) (err error) {
			c, err = do(fd)
			return err
		})
		return c, err
	})
}

// AttachCgroupLegacy attaches the program to the cgroup (version 2) of the given folder at the hook
// attachType. It is [BPFProg.AttachCgroup] if the program is for this hook, and where the kernel has no
// such links (before 5.7) or can't make one, it attaches without a link, together with others
// (BPF_F_ALLOW_MULTI). Destroying what it returns detaches the program in both cases, and so does
// closing the module; without a link, the program stays attached when the process just ends.
//
// Implements: bpf_program__attach_cgroup, bpf_prog_attach
func (p *BPFProg) AttachCgroupLegacy(cgroupV2DirPath string, attachType BPFAttachType) (*BPFLink, error) {
	if p.ExpectedAttachType() == attachType {
		if link, err := p.AttachCgroup(cgroupV2DirPath); err == nil {
			return link, nil
		}
	}
	what := fmt.Sprintf("attach program %q to cgroup %q as %v", p.Name(), cgroupV2DirPath, attachType)
	// The link's own, so that it can be destroyed at any time.
	fd := -1
	err := p.change(what, func() error {
		return inCgroup(cgroupV2DirPath, func(cgroup C.int) error {
			prog, err := p.loaded()
			if err != nil {
				return err
			}
			if err := codeOf(C.bpf_prog_attach(prog, cgroup, C.enum_bpf_attach_type(attachType), C.BPF_F_ALLOW_MULTI)); err != nil {
				return err
			}
			fd, err = unix.FcntlInt(uintptr(prog), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				C.bpf_prog_detach2(prog, cgroup, C.enum_bpf_attach_type(attachType))
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	link, err := p.module.own(&link{name: cgroupV2DirPath, detach: func() error {
		defer unix.Close(fd)
		return detachCgroup(C.int(fd), cgroupV2DirPath, attachType)
	}}, p, CgroupLegacy)
	return link, failed(err, "%s", what)
}

// DetachCgroupLegacy detaches the program from a cgroup to which it was attached without a link.
//
// Implements: bpf_prog_detach2
func (p *BPFProg) DetachCgroupLegacy(cgroupV2DirPath string, attachType BPFAttachType) error {
	return p.change(fmt.Sprintf("detach program %q from cgroup %q as %v", p.Name(), cgroupV2DirPath, attachType), func() error {
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		return detachCgroup(prog, cgroupV2DirPath, attachType)
	})
}

func detachCgroup(prog C.int, path string, attachType BPFAttachType) error {
	return inCgroup(path, func(cgroup C.int) error {
		return codeOf(C.bpf_prog_detach2(prog, cgroup, C.enum_bpf_attach_type(attachType)))
	})
}

// inCgroup runs a call with a descriptor of the cgroup of the given folder.
func inCgroup(path string, call func(fd C.int) error) error {
	fd, err := unix.Open(path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return call(C.int(fd))
}

// XDPFlags are options of [BPFProg.AttachXDPLegacy].
type XDPFlags uint32

// The ways in which XDP programs are attached.
const (
	XDPFlagsUpdateIfNoExist XDPFlags = C.XDP_FLAGS_UPDATE_IF_NOEXIST // fail if there is one
	XDPFlagsSkbMode         XDPFlags = C.XDP_FLAGS_SKB_MODE          // generic, for each interface
	XDPFlagsDrvMode         XDPFlags = C.XDP_FLAGS_DRV_MODE          // in the interface's driver
	XDPFlagsHwMode          XDPFlags = C.XDP_FLAGS_HW_MODE           // in hardware
	XDPFlagsReplace         XDPFlags = C.XDP_FLAGS_REPLACE
	XDPFlagsModes           XDPFlags = C.XDP_FLAGS_MODES
	XDPFlagsMask            XDPFlags = C.XDP_FLAGS_MASK
)

// AttachXDPLegacy attaches the program to a network interface by netlink, without a link: it stays
// until [BPFProg.DetachXDPLegacy], also when the process ends. If there is one already, it is replaced
// unless flag has [XDPFlagsUpdateIfNoExist].
//
// Implements: bpf_xdp_attach
func (p *BPFProg) AttachXDPLegacy(deviceName string, flag XDPFlags) error {
	return p.change(fmt.Sprintf("attach program %q to network interface %q", p.Name(), deviceName), func() error {
		index, err := interfaceIndex(deviceName)
		if err != nil {
			return err
		}
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		return codeOf(C.bpf_xdp_attach(index, prog, C.__u32(flag), nil))
	})
}

// DetachXDPLegacy undoes [BPFProg.AttachXDPLegacy], with the same mode in flag. It leaves another
// program alone, which is an error.
//
// Implements: bpf_xdp_detach
func (p *BPFProg) DetachXDPLegacy(deviceName string, flag XDPFlags) error {
	return p.change(fmt.Sprintf("detach program %q from network interface %q", p.Name(), deviceName), func() error {
		index, err := interfaceIndex(deviceName)
		if err != nil {
			return err
		}
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		opts := C.struct_bpf_xdp_attach_opts{sz: C.sizeof_struct_bpf_xdp_attach_opts, old_prog_fd: prog}
		return codeOf(C.bpf_xdp_detach(index, C.__u32(flag), &opts))
	})
}

// AttachNetns attaches the program to the network namespace of the given file, such as
// /proc/self/ns/net.
//
// Implements: bpf_program__attach_netns
func (p *BPFProg) AttachNetns(networkNamespacePath string) (*BPFLink, error) {
	return p.attach(Netns, networkNamespacePath, fmt.Sprintf("network namespace %q", networkNamespacePath), func() (*C.struct_bpf_link, error) {
		fd, err := unix.Open(networkNamespacePath, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		c, errno := C.bpf_program__attach_netns(p.c, C.int(fd))
		return c, errno
	})
}

// BPFCgroupIterOrder is the order in which an iterator goes over cgroups.
type BPFCgroupIterOrder uint32

// IterOpts say what an iterator goes over: the elements of a map, or cgroups in an order from one that
// is known by descriptor or id (Linux 6.1), or the tasks of one thread or process (Linux 6.1). What is
// 0 isn't asked for; at most one of the three can be.
type IterOpts struct {
	MapFd int

	CgroupIterOrder BPFCgroupIterOrder
	CgroupFd        int
	CgroupId        uint64

	Tid   int
	Pid   int
	PidFd int
}

// AttachIter makes a link of an iterator program, whose output [BPFLink.Reader] gives.
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

// AttachPrograms attaches each loaded program that isn't attached yet, by its section's name, except
// those that [BPFProg.SetAutoattach] has left out. It stops at the first error.
//
// Implements: bpf_program__attach
func (m *Module) AttachPrograms() error {
	what := fmt.Sprintf("attach the programs of object %q", m.in().name)
	if err := m.in().use(); err != nil {
		return failed(err, "%s", what)
	}
	m.in().done()
	it := m.Iterator()
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		if !prog.Autoload() || !prog.Autoattach() || prog.links.Load() > 0 {
			continue
		}
		if _, err := prog.AttachGeneric(); err != nil {
			return failed(err, "%s", what)
		}
	}
	return nil
}

// DetachPrograms destroys all links of the module. It goes on after an error; all errors are in the
// one that it returns.
func (m *Module) DetachPrograms() error {
	what := fmt.Sprintf("detach the programs of object %q", m.in().name)
	if err := m.in().use(); err != nil {
		return failed(err, "%s", what)
	}
	m.in().done()
	var errs []error
	for _, l := range m.in().links() {
		errs = append(errs, (&BPFLink{module: m, handle: l}).Destroy())
	}
	return failed(errors.Join(errs...), "%s", what)
}

// AttachFlag says how a program goes together with others at a hook (BPF_F_BEFORE and others).
type AttachFlag uint32

// BPFFNone is the default: no other program may be there.
const BPFFNone AttachFlag = 0

// AttachGenericFD attaches the program, which must be loaded, to what targetFd is a descriptor of (a
// cgroup, a sockmap, …), without a link: it stays until [BPFProg.DetachGenericFD].
//
// Implements: bpf_prog_attach
func (p *BPFProg) AttachGenericFD(targetFd int, attachType BPFAttachType, flags AttachFlag) error {
	return p.change(fmt.Sprintf("attach program %q to descriptor %d as %v", p.Name(), targetFd, attachType), func() error {
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		target, err := cInt(targetFd, "descriptor")
		if err != nil {
			return err
		}
		return codeOf(C.bpf_prog_attach(prog, target, C.enum_bpf_attach_type(attachType), C.uint(flags)))
	})
}

// DetachGenericFD undoes [BPFProg.AttachGenericFD].
//
// Implements: bpf_prog_detach2
func (p *BPFProg) DetachGenericFD(targetFd int, attachType BPFAttachType) error {
	return p.change(fmt.Sprintf("detach program %q from descriptor %d as %v", p.Name(), targetFd, attachType), func() error {
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		target, err := cInt(targetFd, "descriptor")
		if err != nil {
			return err
		}
		return codeOf(C.bpf_prog_detach2(prog, target, C.enum_bpf_attach_type(attachType)))
	})
}

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
		return failed(err, "%s", what)
	}
	defer unix.Close(fd)
	if opts == nil {
		return failed(fmt.Errorf("nil options: %w", syscall.EINVAL), "%s", what)
	}
	if opts.Repeat < 0 || int64(opts.Repeat) > math.MaxInt32 {
		return failed(fmt.Errorf("%d times: %w", opts.Repeat, syscall.EINVAL), "%s", what)
	}
	dataIn, err1 := newRunBuffer("DataIn", opts.DataIn, opts.DataSizeIn)
	dataOut, err2 := newRunBuffer("DataOut", opts.DataOut, opts.DataSizeOut)
	ctxIn, err3 := newRunBuffer("CtxIn", opts.CtxIn, opts.CtxSizeIn)
	ctxOut, err4 := newRunBuffer("CtxOut", opts.CtxOut, opts.CtxSizeOut)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return failed(err, "%s", what)
	}
	c := C.struct_bpf_test_run_opts{
		sz:            C.sizeof_struct_bpf_test_run_opts,
		data_size_in:  dataIn.size,
		data_size_out: dataOut.size,
		ctx_size_in:   ctxIn.size,
		ctx_size_out:  ctxOut.size,
		repeat:        C.int(opts.Repeat),
		flags:         C.__u32(opts.Flags),
		cpu:           C.__u32(opts.CPU),
		batch_size:    C.__u32(opts.BatchSize),
	}
	err = codeOf(C.golibbpf_prog_run(C.int(fd), &c, dataIn.bytes(), dataOut.bytes(), ctxIn.bytes(), ctxOut.bytes()))
	if err != nil && err != syscall.ENOSPC {
		return failed(err, "%s with DataIn of %d bytes, DataOut of %d, CtxIn of %d, CtxOut of %d", what, dataIn.size, dataOut.size, ctxIn.size, ctxOut.size)
	}
	opts.RetVal = uint32(c.retval)
	opts.Duration = time.Duration(c.duration)
	// The kernel writes the context after the data, if that had room.
	if short := dataOut.took(c.data_size_out, &opts.DataOut, &opts.DataSizeOut); short != nil {
		err = short
	} else if short := ctxOut.took(c.ctx_size_out, &opts.CtxOut, &opts.CtxSizeOut); short != nil {
		err = short
	}
	return failed(err, "%s", what)
}

// duplicate returns a new descriptor of the program.
func (p *BPFProg) duplicate() (int, error) {
	if err := p.in().use(); err != nil {
		return -1, err
	}
	defer p.in().done()
	fd, err := p.loaded()
	if err != nil {
		return -1, err
	}
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}
