package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import "fmt"

// XDPFlags are options of [BPFProg.AttachXDPLegacy].
type XDPFlags uint32

// The ways in which XDP programs are attached.
const (
	XDPFlagsUpdateIfNoExist XDPFlags = C.XDP_FLAGS_UPDATE_IF_NOEXIST // fail if a program is attached
	XDPFlagsSkbMode         XDPFlags = C.XDP_FLAGS_SKB_MODE          // generic, works on every interface
	XDPFlagsDrvMode         XDPFlags = C.XDP_FLAGS_DRV_MODE          // in the interface's driver
	XDPFlagsHwMode          XDPFlags = C.XDP_FLAGS_HW_MODE           // in hardware
	XDPFlagsReplace         XDPFlags = C.XDP_FLAGS_REPLACE
	XDPFlagsModes           XDPFlags = C.XDP_FLAGS_MODES
	XDPFlagsMask            XDPFlags = C.XDP_FLAGS_MASK
)

// AttachXDPLegacy attaches the program to a network interface by netlink, without a link: the program stays attached
// until [BPFProg.DetachXDPLegacy], also when the process ends. A program that is attached already is replaced, unless
// flag contains [XDPFlagsUpdateIfNoExist].
//
// Implements: bpf_xdp_attach
func (p *BPFProg) AttachXDPLegacy(deviceName string, flag XDPFlags) error {
	return p.in().change(fmt.Sprintf("attach program %q to network interface %q", p.Name(), deviceName), func() error {
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

// DetachXDPLegacy detaches the program that [BPFProg.AttachXDPLegacy] has attached. flag must have the same mode. If
// another program is attached, it isn't detached, and DetachXDPLegacy returns an error.
//
// Implements: bpf_xdp_detach
func (p *BPFProg) DetachXDPLegacy(deviceName string, flag XDPFlags) error {
	return p.in().change(fmt.Sprintf("detach program %q from network interface %q", p.Name(), deviceName), func() error {
		index, err := interfaceIndex(deviceName)
		if err != nil {
			return err
		}
		prog, err := p.loaded()
		if err != nil {
			return err
		}
		opts := options[C.struct_bpf_xdp_attach_opts]()
		opts.old_prog_fd = prog
		return codeOf(C.bpf_xdp_detach(index, C.__u32(flag), opts))
	})
}
