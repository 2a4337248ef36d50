package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// LinkType is the kind of attachment that created a [BPFLink].
type LinkType int

// The kinds of attachment.
const (
	Tracepoint LinkType = iota
	RawTracepoint
	Kprobe
	Kretprobe
	LSM
	PerfEvent
	Uprobe
	Uretprobe
	Tracing
	XDP
	Cgroup
	CgroupLegacy
	Netns
	Iter
	StructOps
	USDT
	TCX
	Netkit
	Netfilter
	SockMap
)

// A BPFLink is the attachment of a program to a hook of the kernel. It ends with [BPFLink.Destroy] or when its module
// is closed, unless it is pinned.
//
// All methods may be called from several goroutines.
type BPFLink struct {
	module   *Module
	linkType LinkType
	handle   *link
}

// noLink stands for the link of a nil or zero BPFLink. It is closed.
var noLink = &link{guard: guard{closed: true}}

// in returns the link's C side. For a nil or zero BPFLink, it returns one that is closed.
func (l *BPFLink) in() *link {
	if l == nil || l.handle == nil {
		return noLink
	}
	return l.handle
}

// A link owns the C side of a BPFLink.
type link struct {
	guard
	c *C.struct_bpf_link // nil if the program is attached without a link; detach then detaches it
	// links counts the links of the link's program; nil for struct_ops.
	links *atomic.Int32
	// detach, if not nil, is called to destroy the link, instead of libbpf's function.
	detach func() error
	// name is the link's name in errors.
	name string
}

// setProgram sets the program in whose count the link is included. It may be nil.
func (l *link) setProgram(prog *BPFProg) {
	if l.links != nil {
		l.links.Add(-1)
		l.links = nil
	}
	if prog != nil {
		l.links = prog.links
		l.links.Add(1)
	}
}

// destroy frees the link. It reports whether the link was open.
func (l *link) destroy() (bool, error) {
	if l.lock() != nil {
		return false, nil
	}
	defer l.unlock()
	l.closed = true
	l.setProgram(nil)
	if l.detach != nil {
		return true, l.detach()
	}
	return true, codeOf(C.bpf_link__destroy(l.c))
}

func (l *link) close() { _, _ = l.destroy() }

// attach calls do, a function of libbpf that creates a link of prog or, if prog is nil, of a map. The module owns the
// link.
func (m *Module) attach(prog *BPFProg, linkType LinkType, eventName, what string, do func() (*C.struct_bpf_link, error)) (*BPFLink, error) {
	if err := m.in().lock(); err != nil {
		return nil, failed(err, what)
	}
	var link *BPFLink
	err := watched(what, func() error {
		c, errno := do()
		if c == nil {
			err := pointerError(errno)
			reason := attachRefusal(linkType, err)
			switch {
			case reason != "" || prog == nil:
			case C.bpf_program__fd(prog.c) < 0:
				reason = "the program isn't loaded"
			case err == syscall.EINVAL:
				reason = fmt.Sprintf("the program is of type %v", BPFProgType(C.bpf_program__type(prog.c)))
			}
			return because(reason, err)
		}
		// Under the object's lock: a link may need memory that libbpf frees with the object.
		var err error
		link, err = m.newLink(c, prog, linkType, eventName)
		return err
	})
	m.in().unlock()
	if err != nil {
		if link != nil {
			_ = link.Destroy()
		}
		return nil, err
	}
	return link, nil
}

// newLink returns the handle of a link. The module owns the link.
func (m *Module) newLink(c *C.struct_bpf_link, prog *BPFProg, linkType LinkType, eventName string) (*BPFLink, error) {
	return m.own(&link{c: c, name: eventName}, prog, linkType)
}

func (m *Module) own(handle *link, prog *BPFProg, linkType LinkType) (*BPFLink, error) {
	handle.setProgram(prog)
	linkedModules.add(m, 1)
	if err := m.in().adopt(handle); err != nil {
		linkedModules.add(m, -1)
		handle.close()
		return nil, err
	}
	return &BPFLink{module: m, linkType: linkType, handle: handle}, nil
}

// Destroy detaches the program, unless the link is pinned, and frees the link. Destroying again
// does nothing.
//
// Implements: bpf_link__destroy
func (l *BPFLink) Destroy() error {
	destroyed, err := l.in().destroy()
	if destroyed {
		l.module.in().disown(l.handle)
		linkedModules.add(l.module, -1)
	}
	return failedf(err, "destroy link to %q", l.in().name)
}

// DestroyLegacy is [BPFLink.Destroy] for links of [BPFProg.AttachCgroupLegacy]. For other links, it returns an error.
// The link's own type is compared, not linkType.
func (l *BPFLink) DestroyLegacy(linkType LinkType) error {
	if l.in().isOpen() && l.linkType != CgroupLegacy {
		return failedf(fmt.Errorf("it is no legacy link: %w", syscall.EINVAL), "destroy link to %q", l.in().name)
	}
	return l.Destroy()
}

func (l *link) isOpen() bool {
	if l.enter() != nil {
		return false
	}
	l.exit()
	return true
}

// enterLink starts a call that needs libbpf's link. If it returns nil, the caller must call exit.
func (l *link) enterLink() error {
	if err := l.enter(); err != nil {
		return err
	}
	if l.c == nil {
		l.exit()
		return errNoLink
	}
	return nil
}

var errNoLink = fmt.Errorf("the program is attached without a link: %w", errors.ErrUnsupported)

// FileDescriptor returns the link's file descriptor, which belongs to the link. It is -1 once the link is destroyed,
// and if the program is attached without a link ([BPFProg.AttachCgroupLegacy]).
//
// Implements: bpf_link__fd
func (l *BPFLink) FileDescriptor() int {
	if l.in().enterLink() != nil {
		return -1
	}
	defer l.in().exit()
	return int(C.bpf_link__fd(l.in().c))
}

// GetFd is the older name of [BPFLink.FileDescriptor].
//
// Deprecated: use FileDescriptor.
func (l *BPFLink) GetFd() int {
	return l.FileDescriptor()
}

// Pin pins the link in a BPF file system: the program stays attached when the process ends. The path must not exist.
//
// Implements: bpf_link__pin
func (l *BPFLink) Pin(pinPath string) error {
	return l.change(fmt.Sprintf("pin link to %q at %q", l.in().name, pinPath), func() error {
		path, err := cString(pinPath)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(path))
		return codeOf(C.bpf_link__pin(l.in().c, path))
	})
}

// Unpin removes the link from the BPF file system. The program stays attached until the link is destroyed.
//
// Implements: bpf_link__unpin
func (l *BPFLink) Unpin() error {
	return l.change(fmt.Sprintf("unpin link to %q", l.in().name), func() error {
		return codeOf(C.bpf_link__unpin(l.in().c))
	})
}

// PinPath returns the path where the link is pinned, or the empty string.
//
// Implements: bpf_link__pin_path
func (l *BPFLink) PinPath() string {
	if l.in().enterLink() != nil {
		return ""
	}
	defer l.in().exit()
	return C.GoString(C.bpf_link__pin_path(l.in().c))
}

// UpdateProgram replaces the attached program by prog, a loaded program of the same type, without a gap. Links of
// cgroups, network namespaces, XDP and some others support that.
//
// Implements: bpf_link__update_program
func (l *BPFLink) UpdateProgram(prog *BPFProg) error {
	what := fmt.Sprintf("update link to %q", l.in().name)
	if prog == nil {
		return failed(fmt.Errorf("nil program: %w", syscall.EINVAL), what)
	}
	if err := prog.in().enter(); err != nil {
		return failedf(err, "%s with program %q", what, prog.name)
	}
	defer prog.in().exit()
	return l.change(fmt.Sprintf("%s with program %q", what, prog.name), func() error {
		if _, err := prog.loaded(); err != nil {
			return err
		}
		if err := codeOf(C.bpf_link__update_program(l.in().c, prog.c)); err != nil {
			return err
		}
		l.in().setProgram(prog)
		return nil
	})
}

// UpdateMap replaces the attached struct_ops map by bpfMap, a loaded struct_ops map with the flag BPF_F_LINK. The link
// must be that of a struct_ops map. It needs libbpf 1.2 and Linux 6.4.
//
// Implements: bpf_link__update_map
func (l *BPFLink) UpdateMap(bpfMap *BPFMap) error {
	what := fmt.Sprintf("update link to %q", l.in().name)
	if bpfMap == nil {
		return failed(fmt.Errorf("nil map: %w", syscall.EINVAL), what)
	}
	what = fmt.Sprintf("%s with map %q", what, bpfMap.name)
	if err := needLibbpf(1, 2, "bpf_link__update_map"); err != nil {
		return failed(err, what)
	}
	if err := bpfMap.guard.enter(); err != nil {
		return failed(err, what)
	}
	defer bpfMap.guard.exit()
	return l.change(what, func() error {
		if l.linkType != StructOps {
			// libbpf would treat any link as one of a struct_ops map.
			return fmt.Errorf("it is no link of a struct_ops map: %w", syscall.EINVAL)
		}
		return codeOf(C.bpf_link__update_map(l.in().c, bpfMap.c))
	})
}

// change runs a call that changes the link.
func (l *BPFLink) change(what string, call func() error) error {
	return l.in().change(what, func() error {
		if l.in().c == nil {
			return errNoLink
		}
		return call()
	})
}

// A BPFLinkReader reads the output of one run of an iterator. It is an [io.ReadCloser]. One goroutine may read while
// others call Close.
type BPFLinkReader struct {
	file *os.File
}

// Reader starts a run of the link's iterator and returns its output. The link must be one of an iterator program
// ([BPFProg.AttachGeneric] of a program in a section "iter/…", or [BPFProg.AttachIter]).
//
// Implements: bpf_iter_create
func (l *BPFLink) Reader() (*BPFLinkReader, error) {
	what := fmt.Sprintf("read from link to %q", l.in().name)
	if err := l.in().enterLink(); err != nil {
		return nil, failed(err, what)
	}
	defer l.in().exit()
	fd := C.bpf_iter_create(C.bpf_link__fd(l.in().c))
	if err := codeOf(fd); err != nil {
		return nil, failed(err, what)
	}
	return &BPFLinkReader{file: os.NewFile(uintptr(fd), "bpf_iter")}, nil
}

// Read runs the iterator's program until p is full or the iteration is complete. At the end, it returns [io.EOF].
func (r *BPFLinkReader) Read(p []byte) (n int, err error) {
	if r == nil || r.file == nil {
		return 0, failed(os.ErrClosed, "read iterator")
	}
	return r.file.Read(p)
}

// Close frees the reader. Closing again does nothing.
func (r *BPFLinkReader) Close() error {
	if r == nil || r.file == nil {
		return nil
	}
	if err := r.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
