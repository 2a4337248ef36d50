package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"math"
	"sync"
	"syscall"
)

// TcAttachPoint is where in a network interface's traffic control a program is attached (enum
// bpf_tc_attach_point).
type TcAttachPoint uint32

// The places of traffic control.
const (
	BPFTcIngress       TcAttachPoint = C.BPF_TC_INGRESS
	BPFTcEgress        TcAttachPoint = C.BPF_TC_EGRESS
	BPFTcIngressEgress TcAttachPoint = C.BPF_TC_INGRESS | C.BPF_TC_EGRESS // for Create and Destroy
	BPFTcCustom        TcAttachPoint = C.BPF_TC_CUSTOM                    // at the class of SetParent
)

// TcFlags is an option of [TcHook.Attach].
type TcFlags uint32

// BpfTcFReplace puts the program in the place of the one with the same handle and priority.
const BpfTcFReplace TcFlags = C.BPF_TC_F_REPLACE

// TcOpts tell one program at a [TcHook] from others, by handle and priority, and which program it is.
type TcOpts struct {
	ProgFd   int
	Flags    TcFlags
	ProgId   uint
	Handle   uint
	Priority uint // at most 65,535
}

// A TcHook is a place in the traffic control of a network interface at which programs of type
// SchedCls are attached by netlink. What is attached stays until [TcHook.Detach] or
// [TcHook.Destroy], also when the process ends.
//
// All methods may be called from several goroutines. There is nothing to close.
type TcHook struct {
	mutex sync.Mutex
	c     C.struct_bpf_tc_hook
}

// TcHookInit returns a hook; which interface and place it is are set by its methods.
func (m *Module) TcHookInit() *TcHook {
	return &TcHook{c: C.struct_bpf_tc_hook{sz: C.sizeof_struct_bpf_tc_hook}}
}

// SetInterfaceByIndex makes the hook one of the interface with the given index.
func (hook *TcHook) SetInterfaceByIndex(ifaceIdx int) {
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.ifindex = C.int(ifaceIdx)
}

// SetInterfaceByName makes the hook one of the interface with the given name. If there is none,
// errors.Is(err, syscall.ENODEV) holds.
func (hook *TcHook) SetInterfaceByName(ifaceName string) error {
	index, err := interfaceIndex(ifaceName)
	if err != nil {
		return err
	}
	hook.SetInterfaceByIndex(int(index))
	return nil
}

// GetInterfaceIndex returns the index of the hook's interface, 0 if none is set.
func (hook *TcHook) GetInterfaceIndex() int {
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	return int(hook.c.ifindex)
}

// SetAttachPoint says which place of the interface the hook is.
func (hook *TcHook) SetAttachPoint(attachPoint TcAttachPoint) {
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.attach_point = uint32(attachPoint)
}

// SetParent says which class a hook of [BPFTcCustom] belongs to, by its major and minor number of 16
// bits each.
func (hook *TcHook) SetParent(a int, b int) {
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	hook.c.parent = C.__u32(uint32(a)<<16 | uint32(b)&0xffff)
}

// Create makes the interface's clsact qdisc, which the hooks for ingress and egress share. If it is
// there, errors.Is(err, syscall.EEXIST) holds.
//
// Implements: bpf_tc_hook_create
func (hook *TcHook) Create() error {
	return hook.do("create", func() C.int { return C.bpf_tc_hook_create(&hook.c) })
}

// Destroy removes the programs at the hook and, if its place is [BPFTcIngressEgress], the clsact
// qdisc. The hook can be created again.
//
// Implements: bpf_tc_hook_destroy
func (hook *TcHook) Destroy() error {
	return hook.do("destroy", func() C.int { return C.bpf_tc_hook_destroy(&hook.c) })
}

// Attach attaches the program tcOpts.ProgFd and completes tcOpts: the kernel chooses handle and
// priority that are 0, and tells the program's id. ProgId must be 0.
//
// Implements: bpf_tc_attach
func (hook *TcHook) Attach(tcOpts *TcOpts) error {
	return hook.with(tcOpts, "attach a program to", func(c *C.struct_bpf_tc_opts) C.int { return C.bpf_tc_attach(&hook.c, c) })
}

// Detach removes the program with the handle and priority in tcOpts, whose other fields must be 0.
//
// Implements: bpf_tc_detach
func (hook *TcHook) Detach(tcOpts *TcOpts) error {
	return hook.with(tcOpts, "detach a program from", func(c *C.struct_bpf_tc_opts) C.int { return C.bpf_tc_detach(&hook.c, c) })
}

// Query tells the id of the program with the handle and priority in tcOpts, whose other fields must
// be 0. If there is none, errors.Is(err, syscall.ENOENT) holds, or with syscall.EINVAL if no program is
// at the hook.
//
// Implements: bpf_tc_query
func (hook *TcHook) Query(tcOpts *TcOpts) error {
	return hook.with(tcOpts, "query", func(c *C.struct_bpf_tc_opts) C.int { return C.bpf_tc_query(&hook.c, c) })
}

// with runs a call of libbpf's that takes and changes options.
func (hook *TcHook) with(opts *TcOpts, verb string, call func(*C.struct_bpf_tc_opts) C.int) error {
	return hook.run(verb, func() error {
		if opts == nil {
			return fmt.Errorf("nil options: %w", syscall.EINVAL)
		}
		if opts.Handle > math.MaxUint32 || opts.Priority > math.MaxUint32 || opts.ProgId > math.MaxUint32 {
			return fmt.Errorf("handle %#x, priority %d, program %d: %w", opts.Handle, opts.Priority, opts.ProgId, syscall.ERANGE)
		}
		c := C.struct_bpf_tc_opts{
			sz:       C.sizeof_struct_bpf_tc_opts,
			prog_fd:  C.int(opts.ProgFd),
			flags:    C.__u32(opts.Flags),
			prog_id:  C.__u32(opts.ProgId),
			handle:   C.__u32(opts.Handle),
			priority: C.__u32(opts.Priority),
		}
		if err := codeOf(call(&c)); err != nil {
			return err
		}
		*opts = TcOpts{
			ProgFd:   int(c.prog_fd),
			Flags:    TcFlags(c.flags),
			ProgId:   uint(c.prog_id),
			Handle:   uint(c.handle),
			Priority: uint(c.priority),
		}
		return nil
	})
}

func (hook *TcHook) do(verb string, call func() C.int) error {
	return hook.run(verb, func() error { return codeOf(call()) })
}

func (hook *TcHook) run(verb string, call func() error) error {
	hook.mutex.Lock()
	defer hook.mutex.Unlock()
	return watched(fmt.Sprintf("%s TC hook %d of network interface %d", verb, hook.c.attach_point, hook.c.ifindex), call)
}
