// Package network has selftests of programs on the ways of packets: interfaces, sockets, network namespaces.
package network

import (
	"embed"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are selftests of programs on the ways of packets: interfaces, sockets, network namespaces.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "flow-dissector",
		Checks: "a program takes apart the headers of packets whose flow is asked for",
		Needs:  inNetwork,
		Run:    selftest.One(toNamespace, fanOut),
	},
	{
		Name:   "generic-fd",
		Checks: "a program that is attached to a sockmap, by its descriptor, decides on what is sent through the sockets in it",
		Needs:  inNetwork,
		Run:    sockmapDenied(bpf.BPFAttachTypeSKMSGVerdict, unix.EACCES),
	},
	{
		Name:     "netfilter",
		Checks:   "a program decides on what is sent",
		Needs:    []selftest.Need{selftest.Libbpf(1, 3), selftest.Network},
		Refusals: selftest.Refusals{selftest.Loading: {unix.EINVAL}}, // before Linux 6.4
		Run: denied(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			const localOut = 3 // NF_INET_LOCAL_OUT
			return prog.AttachNetfilter(bpf.NetfilterOpts{ProtocolFamily: unix.AF_INET, Hook: localOut, Priority: -1})
		}, unix.EPERM),
	},
	{
		Name:   "netkit",
		Checks: "programs decide on what the interfaces of a netkit pair send",
		Needs:  []selftest.Need{selftest.Libbpf(1, 3), selftest.Network, selftest.Pair("netkit", "nk0", "nk1")},
		Run:    netkit,
	},
	{
		Name:   "reuseport",
		Checks: "a program decides which socket among those of one port gets a packet",
		Needs:  inNetwork,
		Run:    reuseport,
	},
	{
		Name:   "sk-lookup",
		Checks: "a program is asked for the socket of a packet",
		Needs:  inNetwork,
		Run:    selftest.One(toNamespace, selftest.Datagram),
	},
	{
		Name:   "sk-skb",
		Checks: "a program that is attached to a sockmap decides on what comes in for the sockets in it",
		Needs:  inNetwork,
		Run:    sockmapDenied(bpf.BPFAttachTypeSKSKBStreamVerdict, unix.EAGAIN),
	},
	{
		Name:   "socket-filter",
		Checks: "a program decides on what a socket receives, to which it is attached by a socket option",
		Run:    socketFilter,
	},
	{
		Name:     "sockmap-link",
		Checks:   "a program that is attached to a sockmap by a link decides on what is sent through the sockets in it",
		Object:   "generic-fd",
		Needs:    []selftest.Need{selftest.Libbpf(1, 5), selftest.Network},
		Refusals: selftest.Refusals{selftest.Attaching: {unix.EINVAL}}, // before Linux 6.10
		Run:      sockmapLink,
	},
	{
		Name:   "tc",
		Checks: "a program at a TC hook sees what a network interface sends, and can be queried",
		Needs:  inNetwork,
		Refusals: selftest.Refusals{
			selftest.Using:     {unix.ENOENT}, // no clsact
			selftest.Attaching: {unix.ENOENT}, // no cls_bpf
		},
		Run: tc,
	},
	{
		Name:     "tcx",
		Checks:   "a program sees what a network interface sends, and that another one that is put before it decides first",
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
		Checks: "packets which a program drops do not arrive",
		Needs:  inNetwork,
		Run:    denied(toLoopback, unix.EAGAIN),
	},
	{
		Name:   "xdp-legacy",
		Checks: "a program that is attached by netlink sees the packets of a network interface",
		Object: "xdp",
		Needs:  inNetwork,
		Run:    xdpLegacy,
	},
	{
		Name:   "xdp-native",
		Checks: "a program runs in the driver of a network interface, which a link chooses by itself, or behind it, as the flags say",
		Object: "xdp",
		Needs:  []selftest.Need{selftest.Network, selftest.Pair("veth", "veth0", "veth1")},
		Run:    xdpNative,
	},
}}

var inNetwork = []selftest.Need{selftest.Network}

// denied returns a case's function for a program that keeps datagrams from arriving: sending or receiving one gives
// want.
func denied(attach selftest.Attach, want error) func(*selftest.Test) error {
	return func(t *selftest.Test) error { return t.Denied("prog", attach, selftest.Datagram, want) }
}

func toLoopback(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
	return prog.AttachXDP("lo")
}

func toNamespace(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
	return prog.AttachNetns("/proc/thread-self/ns/net")
}
