package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Value returns the type's number.
//
// Deprecated: convert the type.
func (t BPFProgType) Value() uint64 { return uint64(t) }

// Value returns the function's number.
func (f BPFFunc) Value() uint64 { return uint64(f) }

// A BPFProg is a program of a [Module], which owns it.
//
// All methods may be called from several goroutines.
type BPFProg struct {
	module *Module
	c      *C.struct_bpf_program

	name, section string
	// pinPath is guarded by the object's lock.
	pinPath string
	// links counts the program's links. It is a pointer so that a link can refer to it without keeping the program,
	// and thereby the module, alive.
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

// in returns the object that the program belongs to. For a nil or zero program, it returns one that is closed.
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
	if p.in().enter() != nil {
		return -1
	}
	defer p.in().exit()
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
	return get(&p.in().guard, func() BPFProgType { return BPFProgType(C.bpf_program__type(p.c)) })
}

// SetAutoload sets whether the program is loaded with its object. The default is true, unless the section's name
// begins with "?". It must be called before the load. After [Module.Prepare], loading can be turned off, but not on:
// the error is then syscall.EBUSY (errors.Is).
//
// Implements: bpf_program__set_autoload
func (p *BPFProg) SetAutoload(autoload bool) error {
	return p.changeBeforeLoad(fmt.Sprintf("set autoload of program %q", p.Name()), func() error {
		// bpf_object__relocate of libbpf 1.7 has relocated only the programs that load, and the kernel's BTF, which
		// find_kernel_btf_id reads, was loaded only if one of these needs it.
		if autoload && p.in().stage == prepared && !bool(C.bpf_program__autoload(p.c)) {
			return syscall.EBUSY
		}
		return codeOf(C.bpf_program__set_autoload(p.c, C.bool(autoload)))
	})
}

// Autoload reports whether the program is loaded with its object.
//
// Implements: bpf_program__autoload
func (p *BPFProg) Autoload() bool {
	return get(&p.in().guard, func() bool { return bool(C.bpf_program__autoload(p.c)) })
}

// SetAutoattach sets whether [Module.AttachPrograms] attaches the program. The default is true.
//
// Implements: bpf_program__set_autoattach
func (p *BPFProg) SetAutoattach(autoattach bool) {
	if p.in().lock() != nil {
		return
	}
	defer p.in().unlock()
	C.bpf_program__set_autoattach(p.c, C.bool(autoattach))
}

// Autoattach reports whether [Module.AttachPrograms] attaches the program.
//
// Implements: bpf_program__autoattach
func (p *BPFProg) Autoattach() bool {
	return get(&p.in().guard, func() bool { return bool(C.bpf_program__autoattach(p.c)) })
}

// SetType sets the program's type. It must be called before the load. To change the type of a tracing or LSM program
// or of an extension, it needs libbpf 1.2.
//
// Implements: bpf_program__set_type
func (p *BPFProg) SetType(progType BPFProgType) error {
	return p.changeBeforeLoad(fmt.Sprintf("set type of program %q to %v", p.Name(), progType), func() error {
		switch before := BPFProgType(C.bpf_program__type(p.c)); before {
		case BPFProgTypeTracing, BPFProgTypeLsm, BPFProgTypeExt:
			// Older versions still look up the program's target, in the kernel's BTF, which they load for those types
			// only.
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

// ExpectedAttachType returns the type of hook that the program is for.
//
// Implements: bpf_program__expected_attach_type
func (p *BPFProg) ExpectedAttachType() BPFAttachType {
	return get(&p.in().guard, func() BPFAttachType { return BPFAttachType(C.bpf_program__expected_attach_type(p.c)) })
}

// SetExpectedAttachType sets the type of hook that the program is for. It must be called before the load.
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

// SetAttachTarget sets the function that a tracing program is attached to. If attachProgFD is 0, it is the kernel
// function attachFuncName, otherwise the function of that name of the BPF program with the descriptor attachProgFD. It
// must be called before the load.
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

// Pin pins the loaded program in a BPF file system. A relative path starts at the working directory.
//
// Implements: bpf_program__pin
func (p *BPFProg) Pin(path string) error {
	return p.in().change(fmt.Sprintf("pin program %q at %q", p.Name(), path), func() error {
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
	return p.in().change(fmt.Sprintf("unpin program %q from %q", p.Name(), path), func() error {
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

// PinPath returns the path where [BPFProg.Pin] has pinned the program, or the empty string.
func (p *BPFProg) PinPath() string {
	return get(&p.in().guard, func() string { return p.pinPath })
}

// GetPinPath is the older name of [BPFProg.PinPath].
//
// Deprecated: use PinPath.
func (p *BPFProg) GetPinPath() string {
	return p.PinPath()
}

// loaded returns the program's descriptor, or an error if the program isn't loaded. The caller keeps the object open
// or locked. A negative descriptor must not reach the kernel, where it has another meaning: "detach" for XDP, "any
// program" for detaching.
func (p *BPFProg) loaded() (C.int, error) {
	fd := C.bpf_program__fd(p.c)
	if fd < 0 {
		return -1, fmt.Errorf("program %q isn't loaded: %w", p.Name(), syscall.EBADF)
	}
	return fd, nil
}

// changeBeforeLoad runs a call that changes the program and must be made before the load.
func (p *BPFProg) changeBeforeLoad(what string, call func() error) error {
	return p.in().change(what, func() error { return p.in().stage.beforeLoad(call()) })
}
