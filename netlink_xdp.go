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

// DetachXDPLegacy undoes [BPFProg.AttachXDPLegacy], with the same mode in flag. It leaves another
// program alone, which is an error.
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
