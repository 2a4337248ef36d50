// Package network has the selftests of programs that process packets: at interfaces, sockets and network namespaces.
package network

import (
	"embed"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of programs that process packets: at interfaces, sockets and network namespaces.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "flow-dissector",
		Checks: "a program dissects the headers of packets when the kernel computes their flow",
		Needs:  inNetwork,
		Run:    selftest.One(toNamespace, fanOut),
	},
	{
		Name:   "generic-fd",
		Checks: "a program attached to a sockmap by the map's descriptor filters what is sent through the sockets in it",
		Needs:  inNetwork,
		Run:    sockmapDenied(bpf.BPFAttachTypeSKMSGVerdict, unix.EACCES),
	},
	{
		Name:     "netfilter",
		Checks:   "a program filters outgoing packets at a netfilter hook",
		Needs:    []selftest.Need{selftest.Libbpf(1, 3), selftest.Network},
		Refusals: selftest.Refusals{selftest.Loading: {unix.EINVAL}}, // before Linux 6.4
		Run: denied(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			const localOut = 3 // NF_INET_LOCAL_OUT
			return prog.AttachNetfilter(bpf.NetfilterOpts{ProtocolFamily: unix.AF_INET, Hook: localOut, Priority: -1})
		}, unix.EPERM),
	},
	{
		Name:   "netkit",
		Checks: "programs filter the packets that the interfaces of a netkit pair send",
		Needs:  []selftest.Need{selftest.Libbpf(1, 3), selftest.Network, selftest.Pair("netkit", "nk0", "nk1")},
		Run:    netkit,
	},
	{
		Name:   "reuseport",
		Checks: "a program decides which of the sockets of a port receives a packet",
		Needs:  inNetwork,
		Run:    reuseport,
	},
	{
		Name:   "sk-lookup",
		Checks: "a program runs when the kernel looks up the socket of a packet",
		Needs:  inNetwork,
		Run:    selftest.One(toNamespace, selftest.Datagram),
	},
	{
		Name:   "sk-skb",
		Checks: "a program attached to a sockmap filters what the sockets in it receive",
		Needs:  inNetwork,
		Run:    sockmapDenied(bpf.BPFAttachTypeSKSKBStreamVerdict, unix.EAGAIN),
	},
	{
		Name:   "socket-filter",
		Checks: "a program attached to a socket by a socket option filters what the socket receives",
		Run:    socketFilter,
	},
	{
		Name:     "sockmap-link",
		Checks:   "a program attached to a sockmap by a link filters what is sent through the sockets in it",
		Object:   "generic-fd",
		Needs:    []selftest.Need{selftest.Libbpf(1, 5), selftest.Network},
		Refusals: selftest.Refusals{selftest.Attaching: {unix.EINVAL}}, // before Linux 6.10
		Run:      sockmapLink,
	},
	{
		Name:   "tc",
		Checks: "a program at a TC hook sees the packets that a network interface sends, and can be queried",
		Needs:  inNetwork,
		Refusals: selftest.Refusals{
			selftest.Using:     {unix.ENOENT}, // no clsact
			selftest.Attaching: {unix.ENOENT}, // no cls_bpf
		},
		Run: tc,
	},
	{
		Name:     "tcx",
		Checks:   "a program sees the packets that a network interface sends, unless a program inserted before it drops them",
		Needs:    []selftest.Need{selftest.Libbpf(1, 3), selftest.Network},
		Refusals: selftest.Refusals{selftest.Attaching: {unix.EINVAL}}, // before Linux 6.6
		Run:      tcx,
	},
	{
		Name:   "xdp",
		Checks: "a program sees the packets of a network interface",
		Needs:  inNetwork,
		Run:    selftest.One(toLoopback, selftest.Datagram),
	},
	{
		Name:   "xdp-drop",
		Checks: "packets that a program drops don't arrive",
		Needs:  inNetwork,
		Run:    denied(toLoopback, unix.EAGAIN),
	},
	{
		Name:   "xdp-legacy",
		Checks: "a program attached through netlink sees the packets of a network interface",
		Object: "xdp",
		Needs:  inNetwork,
		Run:    xdpLegacy,
	},
	{
		Name:   "xdp-native",
		Checks: "a program runs in the driver of a network interface by default, and in the mode that the flags select",
		Object: "xdp",
		Needs:  []selftest.Need{selftest.Network, selftest.Pair("veth", "veth0", "veth1")},
		Run:    xdpNative,
	},
}}

var inNetwork = []selftest.Need{selftest.Network}

// denied returns the function of a case: while a program is attached, sending or receiving a datagram fails with want.
func denied(attach selftest.Attach, want error) func(*selftest.Test) error {
	return func(t *selftest.Test) error { return t.Denied("prog", attach, selftest.Datagram, want) }
}

func toLoopback(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
	return prog.AttachXDP("lo")
}

func toNamespace(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
	return prog.AttachNetns("/proc/thread-self/ns/net")
}
