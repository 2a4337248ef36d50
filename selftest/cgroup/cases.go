// Package cgroup has the selftests of programs that are attached to cgroups.
package cgroup

import (
	"embed"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of programs that are attached to cgroups.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "cgroup-connect",
		Checks: "a program denies connections to the processes of a cgroup",
		Needs:  inCgroup,
		Run:    denied(selftest.Connect, map[string]error{"prog": unix.EPERM}),
	},
	{
		Name:   "cgroup-dev",
		Checks: "a program controls which devices the processes of a cgroup can open",
		Needs:  inCgroup,
		Run:    denied(openZero, map[string]error{"prog": unix.EPERM}),
	},
	{
		Name:   "cgroup-legacy",
		Checks: "a program attached without a link sees the packets that the processes of a cgroup send",
		Needs:  inCgroup,
		Run: func(t *selftest.Test) error {
			return t.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
				return prog.AttachCgroupLegacy(t.Cgroup, bpf.BPFAttachTypeCgroupInetEgress)
			}, selftest.Datagram)
		},
	},
	{
		Name:     "cgroup-order",
		Checks:   "with BPF_F_BEFORE, a program runs before another one that was attached to its cgroup earlier",
		Needs:    []selftest.Need{selftest.Libbpf(1, 6), selftest.Network, selftest.Cgroup},
		Refusals: selftest.Refusals{selftest.Attaching: {unix.EINVAL}}, // Linux 6.1
		Run:      order,
	},
	{
		Name:   "cgroup-skb",
		Checks: "a program sees the packets that the processes of a cgroup receive",
		Needs:  inCgroup,
		Run:    watches(selftest.Datagram),
	},
	{
		Name:   "cgroup-sock",
		Checks: "programs watch and control how sockets of a cgroup are created and bound",
		Needs:  inCgroup,
		Run: denied(datagrams, map[string]error{
			"create": unix.EPERM, "release": nil, "post_bind4": unix.EPERM, "post_bind6": unix.EPERM,
		}),
	},
	{
		Name:   "cgroup-sock-addr",
		Checks: "programs watch and control the addresses in the socket calls of the processes of a cgroup",
		Needs:  inCgroup,
		Run: denied(datagrams, map[string]error{
			"bind4": unix.EPERM, "bind6": unix.EPERM,
			"connect4": unix.EPERM, "connect6": unix.EPERM,
			"sendmsg4": unix.EPERM, "sendmsg6": unix.EPERM,
			"recvmsg4": nil, "recvmsg6": nil,
			"getsockname4": nil, "getsockname6": nil,
			"getpeername4": nil, "getpeername6": nil,
		}),
	},
	{
		Name:   "cgroup-sockops",
		Checks: "a program sees the events of the TCP sockets of a cgroup",
		Needs:  inCgroup,
		Run:    watches(selftest.Connect),
	},
	{
		Name:   "cgroup-sockopt",
		Checks: "programs control which socket options the processes of a cgroup can get and set",
		Needs:  inCgroup,
		Run:    denied(socketOptions, map[string]error{"getsockopt": unix.EPERM, "setsockopt": unix.EPERM}),
	},
	{
		Name:   "cgroup-sysctl",
		Checks: "a program controls which sysctl settings the processes of a cgroup can read",
		Needs:  inCgroup,
		Run:    denied(readSetting, map[string]error{"prog": unix.EPERM}),
	},
	{
		Name:     "cgroup-unix",
		Checks:   "programs watch and control the addresses in the Unix socket calls of the processes of a cgroup",
		Refusals: selftest.Refusals{selftest.Loading: {unix.EINVAL}}, // before Linux 6.7
		Needs:    inCgroup,
		Run: denied(unixDatagram, map[string]error{
			"connect_unix": unix.EPERM, "sendmsg_unix": unix.EPERM,
			"recvmsg_unix": nil, "getsockname_unix": nil, "getpeername_unix": nil,
		}),
	},
	{
		Name:   "lsm-cgroup",
		Checks: "a program at a security hook runs only for the processes of a cgroup",
		Needs:  []selftest.Need{selftest.LSM, selftest.Network, selftest.Cgroup},
		Refusals: selftest.Refusals{
			selftest.Loading:   {selftest.Locked},
			selftest.Attaching: {selftest.ENOTSUPP}, // arm64 before Linux 6.4
		},
		Run: denied(selftest.Datagram, map[string]error{"prog": unix.EPERM}),
	},
}}

var inCgroup = []selftest.Need{selftest.Network, selftest.Cgroup}

// watches returns the function of a case: a program that is attached to the process's cgroup counts what provoke does.
func watches(provoke func() error) func(*selftest.Test) error {
	return func(t *selftest.Test) error {
		return t.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) { return prog.AttachCgroup(t.Cgroup) }, provoke)
	}
}

// denied returns the function of a case with several programs. While one of them is attached to the process's cgroup,
// the operation fails with the program's error. A nil error is for a program that only watches.
func denied(operation func() error, programs map[string]error) func(*selftest.Test) error {
	return func(t *selftest.Test) error {
		for program, want := range programs {
			err := t.Denied(program, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
				return prog.AttachCgroup(t.Cgroup)
			}, operation, want)
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// datagrams sends datagrams over IPv4 and IPv6.
func datagrams() error {
	return errors.Join(selftest.Datagram(), selftest.DatagramTo(&unix.SockaddrInet6{Addr: [16]byte{15: 1}}))
}

func unixDatagram() error {
	return selftest.DatagramTo(&unix.SockaddrUnix{Name: "@selftest"})
}

func openZero() error {
	file, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	return file.Close()
}

func readSetting() error {
	_, err := os.ReadFile("/proc/sys/kernel/ostype")
	return err
}

// socketOptions sets an option of a socket and gets it.
func socketOptions() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.SetsockoptInt(socket, unix.IPPROTO_IP, unix.IP_TTL, 42); err != nil {
		return err
	}
	_, err = unix.GetsockoptInt(socket, unix.IPPROTO_IP, unix.IP_TTL)
	return err
}

func order(t *selftest.Test) error {
	module, early, err := t.LoadProgram("early")
	if err != nil {
		return err
	}
	defer module.Close()
	late, err := module.GetProgram("late")
	if err != nil {
		return err
	}
	link, err := late.AttachCgroup(t.Cgroup)
	if err != nil {
		return err
	}
	_, err = early.AttachCgroupOpts(t.Cgroup, bpf.OrderOpts{Flags: bpf.BPFFBefore | bpf.BPFFLink, RelativeFD: link.FileDescriptor()})
	if err != nil {
		return selftest.At(selftest.Attaching, err)
	}
	if err := selftest.Connect(); err != nil {
		return err
	}
	if n, err := selftest.Hits(module, 0); err != nil || n != 2 {
		return fmt.Errorf("the program that should be second was number %d, %v", n, err)
	}
	return nil
}
