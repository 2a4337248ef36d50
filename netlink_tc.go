package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"syscall"
)

// TcAttachPoint is the place in a network interface's traffic control where a program is attached (enum
// bpf_tc_attach_point).
type TcAttachPoint uint32

// The places of traffic control.
const (
	BPFTcIngress       TcAttachPoint = C.BPF_TC_INGRESS
	BPFTcEgress        TcAttachPoint = C.BPF_TC_EGRESS
	BPFTcIngressEgress TcAttachPoint = C.BPF_TC_INGRESS | C.BPF_TC_EGRESS // for Create and Destroy
	BPFTcCustom        TcAttachPoint = C.BPF_TC_CUSTOM                    // at the class set by SetParent
)

// TcFlags is an option of [TcHook.Attach].
type TcFlags uint32

// BpfTcFReplace replaces the program with the same handle and priority.
const BpfTcFReplace TcFlags = C.BPF_TC_F_REPLACE

// TcOpts identify a program at a [TcHook] by handle and priority. [TcHook.Attach] fills them in; after that, they can
// be passed to all methods.
type TcOpts struct {
	ProgFd   int     // used by Attach only
	Flags    TcFlags // used by Attach only
	ProgId   uint    // set by Attach and Query
	Handle   uint
	Priority uint // at most 65,535
}

// A TcHook is a place in the traffic control of a network interface where programs of type SchedCls are attached by
// netlink. An attached program stays until [TcHook.Detach] or [TcHook.Destroy], also when the process ends.
//
// All methods may be called from several goroutines. There is nothing to close. The zero value is a hook without
// interface and place. On a nil hook, the methods that return an error return syscall.EINVAL (errors.Is).
type TcHook struct {
	mutex sync.Mutex
	c     C.struct_bpf_tc_hook
	// The errors of the interface and the parent that were set last.
	interfaceErr, parentErr error
}

// TcHookInit returns a hook. Its interface and place are set by its methods.
func (m *Module) TcHookInit() *TcHook {
	return new(TcHook)
}

// SetInterfaceByIndex sets the hook's interface by its index. An index that doesn't fit into 32 bits makes the calls
// fail that use it.
func (hook *TcHook) SetInterfaceByIndex(ifaceIdx int) {
	if hook == nil {
		return
	}
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.ifindex, hook.interfaceErr = cInt(ifaceIdx, "network interface")
}

// SetInterfaceByName sets the hook's interface by its name. If there is none, the error is syscall.ENODEV (errors.Is).
func (hook *TcHook) SetInterfaceByName(ifaceName string) error {
	if hook == nil {
		return failedf(errNoHook, "set network interface %q", ifaceName)
	}
	index, err := interfaceIndex(ifaceName)
	if err != nil {
		return err
	}
	hook.SetInterfaceByIndex(int(index))
	return nil
}

// GetInterfaceIndex returns the index of the hook's interface, or 0 if none is set.
func (hook *TcHook) GetInterfaceIndex() int {
	if hook == nil {
		return 0
	}
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	return int(hook.c.ifindex)
}

// SetAttachPoint sets the hook's place in the interface's traffic control.
func (hook *TcHook) SetAttachPoint(attachPoint TcAttachPoint) {
	if hook == nil {
		return
	}
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.attach_point = uint32(attachPoint)
}

// SetParent sets the class that a hook of [BPFTcCustom] belongs to, by its major and minor number of 16 bits each.
// Larger numbers make the calls fail that use them.
func (hook *TcHook) SetParent(a int, b int) {
	if hook == nil {
		return
	}
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.parent, hook.parentErr = 0, nil
	if uint(a) > math.MaxUint16 || uint(b) > math.MaxUint16 {
		hook.parentErr = fmt.Errorf("parent %#x:%#x: %w", a, b, syscall.ERANGE)
		return
	}
	hook.c.parent = C.__u32(a<<16 | b)
}

// Create creates the interface's clsact qdisc, which the hooks for ingress and egress share. If it exists, the error
// is syscall.EEXIST (errors.Is).
//
// Implements: bpf_tc_hook_create
func (hook *TcHook) Create() error {
	return hook.change("create", func() error { return codeOf(C.bpf_tc_hook_create(&hook.c)) })
}

// Destroy removes the programs at the hook and, if its place is [BPFTcIngressEgress], the clsact qdisc. Create can
// create it again.
//
// Implements: bpf_tc_hook_destroy
func (hook *TcHook) Destroy() error {
	return hook.change("destroy", func() error { return codeOf(C.bpf_tc_hook_destroy(&hook.c)) })
}

// Attach attaches the program with the descriptor tcOpts.ProgFd and fills in tcOpts: if handle or priority are 0, the
// kernel chooses them, and ProgId is set to the program's id. If there is a program with that handle and priority, the
// error is syscall.EEXIST (errors.Is), unless tcOpts.Flags contains [BpfTcFReplace].
//
// Implements: bpf_tc_attach
func (hook *TcHook) Attach(tcOpts *TcOpts) error {
	return hook.changeProgram(tcOpts, "attach a program to", func(c *C.struct_bpf_tc_opts) error {
		var err error
		if c.prog_fd, err = cInt(tcOpts.ProgFd, "ProgFd"); err != nil {
			return err
		}
		switch {
		case c.prog_fd == 0:
			return fmt.Errorf("ProgFd is 0: %w", syscall.EINVAL)
		case c.prog_fd < 0:
			return fmt.Errorf("ProgFd is %d, which means that the program isn't loaded: %w", c.prog_fd, syscall.EBADFD)
		}
		if tcOpts.Flags&^BpfTcFReplace != 0 {
			return fmt.Errorf("flags %#x: %w", tcOpts.Flags, syscall.EINVAL)
		}
		c.flags = C.__u32(tcOpts.Flags)
		return tcOpts.complete(C.bpf_tc_attach(&hook.c, c), c)
	})
}

// Detach removes the program with the handle and priority in tcOpts. The other fields are ignored.
//
// Implements: bpf_tc_detach
func (hook *TcHook) Detach(tcOpts *TcOpts) error {
	return hook.changeProgram(tcOpts, "detach a program from", func(c *C.struct_bpf_tc_opts) error {
		if err := tcOpts.checkIdentity(); err != nil {
			return err
		}
		return codeOf(C.bpf_tc_detach(&hook.c, c))
	})
}

// Query sets tcOpts.ProgId to the id of the program with the handle and priority in tcOpts. The other fields are
// ignored. If there is no such program, the error is syscall.ENOENT (errors.Is), or syscall.EINVAL if no program at
// all is at the hook.
//
// Implements: bpf_tc_query
func (hook *TcHook) Query(tcOpts *TcOpts) error {
	return hook.changeProgram(tcOpts, "query", func(c *C.struct_bpf_tc_opts) error {
		if err := tcOpts.checkIdentity(); err != nil {
			return err
		}
		return tcOpts.complete(C.bpf_tc_query(&hook.c, c), c)
	})
}

// complete copies the fields that libbpf has filled in, or returns the error for libbpf's result.
func (opts *TcOpts) complete(result C.int, c *C.struct_bpf_tc_opts) error {
	if err := codeOf(result); err != nil {
		return err
	}
	opts.ProgId, opts.Handle, opts.Priority = uint(c.prog_id), uint(c.handle), uint(c.priority)
	return nil
}

// checkIdentity returns an error unless the options identify one program.
func (opts *TcOpts) checkIdentity() error {
	if opts.Handle == 0 || opts.Priority == 0 {
		return fmt.Errorf("handle %#x and priority %d must not be 0: %w", opts.Handle, opts.Priority, syscall.EINVAL)
	}
	return nil
}

// changeProgram runs call with the options' handle and priority. Other fields are left 0, since libbpf refuses fields
// that the call doesn't use; call sets those that it does.
func (hook *TcHook) changeProgram(opts *TcOpts, verb string, call func(*C.struct_bpf_tc_opts) error) error {
	return hook.change(verb, func() error {
		if opts == nil {
			return fmt.Errorf("nil options: %w", syscall.EINVAL)
		}
		if opts.Handle > math.MaxUint32 || opts.Priority > math.MaxUint32 {
			return fmt.Errorf("handle %#x, priority %d: %w", opts.Handle, opts.Priority, syscall.ERANGE)
		}
		if opts.Priority > math.MaxUint16 {
			return fmt.Errorf("priority %d: %w", opts.Priority, syscall.EINVAL)
		}
		c := options[C.struct_bpf_tc_opts]()
		c.handle, c.priority = C.__u32(opts.Handle), C.__u32(opts.Priority)
		err := call(c)
		if err == syscall.EINVAL {
			return because(hook.missingSetting(), err)
		}
		return err
	})
}

// missingSetting returns which setting of the hook is missing or invalid, or "".
func (hook *TcHook) missingSetting() string {
	point := TcAttachPoint(hook.c.attach_point)
	switch {
	case hook.c.ifindex <= 0:
		return "the hook has no network interface (SetInterfaceByName)"
	case point == BPFTcCustom && hook.c.parent == 0:
		return "the hook has no class (SetParent)"
	case point == BPFTcCustom:
		return ""
	case point != BPFTcIngress && point != BPFTcEgress:
		return "the hook's place (SetAttachPoint) is not one of ingress, egress and custom"
	case hook.c.parent != 0:
		return "the hook has a class (SetParent), but is not of BPFTcCustom"
	}
	return ""
}

var errNoHook = fmt.Errorf("nil TC hook: %w", syscall.EINVAL)

// change runs call under the hook's lock.
func (hook *TcHook) change(verb string, call func() error) error {
	if hook == nil {
		return failedf(errNoHook, "%s TC hook", verb)
	}
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.sz = C.sizeof_struct_bpf_tc_hook
	what := fmt.Sprintf("%s TC hook %d of network interface %d", verb, hook.c.attach_point, hook.c.ifindex)
	if err := errors.Join(hook.interfaceErr, hook.parentErr); err != nil {
		return failed(err, what)
	}
	return watched(what, call)
}
