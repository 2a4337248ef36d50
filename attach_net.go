package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// AttachXDP attaches the program to a network interface.
//
// Implements: bpf_program__attach_xdp
func (p *BPFProg) AttachXDP(deviceName string) (*BPFLink, error) {
	return p.attachInterface(XDP, deviceName, func(index C.int) (*C.struct_bpf_link, error) {
		c, errno := C.bpf_program__attach_xdp(p.c, index)
		return c, errno
	})
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

// AttachNetkit attaches the program, of a section "netkit/primary" or "netkit/peer", to a netkit device. In
// both cases, deviceName is the primary interface of the pair. It needs libbpf 1.3 and Linux 6.7.
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

// interfaceIndex returns the index of a network interface in the calling thread's network namespace.
func interfaceIndex(name string) (index C.int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("network interface %q: %w", name, err)
		}
	}()
	request, err := unix.NewIfreq(name)
	if err != nil || name == "" || strings.Contains(name, "\x00") { // no interface has such a name
		return 0, syscall.ENODEV
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(socket)
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return C.int(request.Uint32()), nil
}

// NetfilterOpts are options of [BPFProg.AttachNetfilter] (struct bpf_netfilter_opts).
type NetfilterOpts struct {
	ProtocolFamily uint32 // NFPROTO_IPV4 (equal to unix.AF_INET) or NFPROTO_IPV6 (unix.AF_INET6)
	Hook           uint32 // NF_INET_PRE_ROUTING (0) to NF_INET_POST_ROUTING (4)
	Priority       int32  // the hook's programs run in ascending order of it
	Flags          uint32 // BPF_F_NETFILTER_IP_DEFRAG (1) reassembles IP fragments first (Linux 6.6)
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

// AttachSockMap attaches the program (sk_msg, sk_skb) to the sockets in a map of type SockMap or SockHash with
// the descriptor mapFD. It needs libbpf 1.5 and Linux 6.10; [BPFProg.AttachGenericFD] does the same without a
// link.
//
// Implements: bpf_program__attach_sockmap
func (p *BPFProg) AttachSockMap(mapFD int) (*BPFLink, error) {
	target := fmt.Sprintf("the sockets in map %d", mapFD)
	return p.attach(SockMap, target, target, func() (*C.struct_bpf_link, error) {
		if err := needLibbpf(1, 5, "bpf_program__attach_sockmap"); err != nil {
			return nil, err
		}
		fd, err := cInt(mapFD, "descriptor")
		if err != nil {
			return nil, err
		}
		c, errno := C.bpf_program__attach_sockmap(p.c, fd)
		return c, errno
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
