package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// AttachCgroup attaches the program to the cgroup (version 2) of the given folder.
//
// Implements: bpf_program__attach_cgroup
func (p *BPFProg) AttachCgroup(cgroupV2DirPath string) (*BPFLink, error) {
	return p.attachCgroup(cgroupV2DirPath, func(fd C.int) (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_cgroup(p.c, fd)
		return c, errno
	})
}

// AttachCgroupOpts is AttachCgroup with a position among the other programs of the cgroup. It needs libbpf 1.6
// and Linux 6.17, or an older kernel with a backport, such as Debian's 6.12.117.
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

// AttachCgroupLegacy attaches the program to the cgroup (version 2) of the given folder at the hook attachType.
// If the program's expected attach type is attachType, it first tries [BPFProg.AttachCgroup]. If the type
// differs, or if that fails, as on kernels without cgroup links (before 5.7), it attaches without a link,
// together with other programs (BPF_F_ALLOW_MULTI). In both cases, Destroy of the returned link detaches the
// program, and so does closing the module. Without a link, the program stays attached if the process ends
// before that.
//
// Implements: bpf_program__attach_cgroup, bpf_prog_attach
func (p *BPFProg) AttachCgroupLegacy(cgroupV2DirPath string, attachType BPFAttachType) (*BPFLink, error) {
	if p.ExpectedAttachType() == attachType {
		if link, err := p.AttachCgroup(cgroupV2DirPath); err == nil {
			return link, nil
		}
	}
	what := fmt.Sprintf("attach program %q to cgroup %q as %v", p.Name(), cgroupV2DirPath, attachType)
	// A descriptor of the link's own, so that detach needs no lock of the object.
	fd := -1
	err := p.in().change(what, func() error {
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
	return link, failed(err, what)
}

// DetachCgroupLegacy detaches the program from a cgroup where it was attached without a link. If a program was
// attached there with [BPFFNone], the kernel doesn't compare: it detaches that program, even if it is another one.
//
// Implements: bpf_prog_detach2
func (p *BPFProg) DetachCgroupLegacy(cgroupV2DirPath string, attachType BPFAttachType) error {
	return p.in().change(fmt.Sprintf("detach program %q from cgroup %q as %v", p.Name(), cgroupV2DirPath, attachType), func() error {
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

// inCgroup runs call with a descriptor of the cgroup at path.
func inCgroup(path string, call func(fd C.int) error) error {
	fd, err := unix.Open(path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return call(C.int(fd))
}
