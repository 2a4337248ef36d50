package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
)

// attach attaches the program, which must be loaded, by the libbpf call do. target describes the hook in
// errors.
func (p *BPFProg) attach(linkType LinkType, eventName, target string, do func() (*C.struct_bpf_link, error)) (*BPFLink, error) {
	return p.GetModule().attach(p, linkType, eventName, fmt.Sprintf("attach program %q to %s", p.Name(), target), do)
}

// OrderOpts select the program's position among the other programs of its hook (struct bpf_tcx_opts,
// bpf_netkit_opts, bpf_cgroup_opts). The zero value makes it the last one.
type OrderOpts struct {
	Flags            AttachFlag // BPFFBefore or BPFFAfter: all others, or the one named by the next fields
	RelativeFD       int        // descriptor of that program or, with BPFFLink, of its link
	RelativeID       uint32     // id of that program or link, with BPFFID
	ExpectedRevision uint64     // unless 0, the hook must be at this revision, which each attach and detach changes
}

func (o OrderOpts) c() (C.struct_golibbpf_order, error) {
	fd, err := cInt(o.RelativeFD, "RelativeFD")
	return C.struct_golibbpf_order{
		flags:             C.uint32_t(o.Flags),
		relative_fd:       C.uint32_t(fd),
		relative_id:       C.uint32_t(o.RelativeID),
		expected_revision: C.uint64_t(o.ExpectedRevision),
	}, err
}

// AttachGeneric attaches the program to the target that its section's name contains, such as
// "tp/sched/sched_process_exec" or "fentry/do_unlinkat". If libbpf can't attach programs of this section by
// name, the error is errors.ErrUnsupported (errors.Is).
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

// AttachPrograms attaches each loaded program that isn't attached yet, by its section's name, except those that
// [BPFProg.SetAutoattach] has excluded. It stops at the first error.
//
// Implements: bpf_program__attach
func (m *Module) AttachPrograms() error {
	what := fmt.Sprintf("attach the programs of object %q", m.in().name)
	if err := m.in().enter(); err != nil {
		return failed(err, what)
	}
	m.in().exit()
	it := m.Iterator()
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		if !prog.Autoload() || !prog.Autoattach() || prog.links.Load() > 0 {
			continue
		}
		if _, err := prog.AttachGeneric(); err != nil {
			return failed(err, what)
		}
	}
	return nil
}

// DetachPrograms destroys all links of the module. It continues after an error, and returns all errors joined.
func (m *Module) DetachPrograms() error {
	what := fmt.Sprintf("detach the programs of object %q", m.in().name)
	if err := m.in().enter(); err != nil {
		return failed(err, what)
	}
	m.in().exit()
	var errs []error
	for _, l := range m.in().links() {
		errs = append(errs, (&BPFLink{module: m, handle: l}).Destroy())
	}
	return failed(errors.Join(errs...), what)
}

// AttachFlag controls how a program is combined with other programs at its hook (BPF_F_BEFORE and others).
type AttachFlag uint32

// BPFFNone is the default: no other program may be attached to the hook.
const BPFFNone AttachFlag = 0

// AttachGenericFD attaches the program, which must be loaded, to the object behind the descriptor targetFD (a
// cgroup, a sockmap, …), without a link: the program stays attached until [BPFProg.DetachGenericFD].
//
// Implements: bpf_prog_attach
func (p *BPFProg) AttachGenericFD(targetFD int, attachType BPFAttachType, flags AttachFlag) error {
	return p.in().change(fmt.Sprintf("attach program %q to descriptor %d as %v", p.Name(), targetFD, attachType), func() error {
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		target, err := cInt(targetFD, "descriptor")
		if err != nil {
			return err
		}
		return codeOf(C.bpf_prog_attach(prog, target, C.enum_bpf_attach_type(attachType), C.uint(flags)))
	})
}

// DetachGenericFD undoes [BPFProg.AttachGenericFD]. If a program was attached to a cgroup with [BPFFNone],
// the kernel doesn't compare: it detaches that program, even if it is another one.
//
// Implements: bpf_prog_detach2
func (p *BPFProg) DetachGenericFD(targetFD int, attachType BPFAttachType) error {
	return p.in().change(fmt.Sprintf("detach program %q from descriptor %d as %v", p.Name(), targetFD, attachType), func() error {
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		target, err := cInt(targetFD, "descriptor")
		if err != nil {
			return err
		}
		return codeOf(C.bpf_prog_detach2(prog, target, C.enum_bpf_attach_type(attachType)))
	})
}
