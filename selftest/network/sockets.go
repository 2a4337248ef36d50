package network

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// fanOut sends a packet past a socket in a fanout group. The group distributes packets by their flow, which the kernel
// computes for this.
func fanOut() error {
	const allProtocols = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, allProtocols)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: selftest.Loopback}); err != nil {
		return err
	}
	const group = 1
	if err := unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_FANOUT, group|unix.PACKET_FANOUT_HASH<<16); err != nil {
		return err
	}
	return selftest.Datagram()
}

func reuseport(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	address := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 4242}
	if err := unix.Bind(socket, address); err != nil {
		return err
	}
	var want error
	return selftest.Effect(module, func() (func() error, error) {
		want = unix.EAGAIN
		return func() error {
			want = nil
			return unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0)
		}, unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, prog.FileDescriptor())
	}, func() error {
		if err := unix.Sendto(socket, []byte("selftest"), 0, address); err != nil {
			return err
		}
		if _, _, err := unix.Recvfrom(socket, make([]byte, 8), unix.MSG_DONTWAIT); !errors.Is(err, want) {
			return fmt.Errorf("receiving returns %v, want %v", err, want)
		}
		return nil
	})
}

func socketFilter(t *selftest.Test) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	var want error
	return selftest.Effect(module, func() (func() error, error) {
		want = unix.EAGAIN
		return func() error {
			want = nil
			return unix.SetsockoptInt(ends[1], unix.SOL_SOCKET, unix.SO_DETACH_BPF, 0)
		}, unix.SetsockoptInt(ends[1], unix.SOL_SOCKET, unix.SO_ATTACH_BPF, prog.FileDescriptor())
	}, func() error {
		if _, err := unix.Write(ends[0], []byte("selftest")); err != nil {
			return err
		}
		if _, _, err := unix.Recvfrom(ends[1], make([]byte, 8), unix.MSG_DONTWAIT); !errors.Is(err, want) {
			return fmt.Errorf("receiving returns %v, want %v", err, want)
		}
		return nil
	})
}

// sockmapDenied returns the function of a case: while a program is attached to a sockmap without a link, sending
// through the sockets in it fails with want.
func sockmapDenied(attachType bpf.BPFAttachType, want error) func(*selftest.Test) error {
	return func(t *selftest.Test) error {
		module, prog, err := t.LoadProgram("prog")
		if err != nil {
			return err
		}
		defer module.Close()
		sockets, err := module.GetMap("sockets")
		if err != nil {
			return err
		}
		var expected error
		return selftest.Effect(module, func() (func() error, error) {
			expected = want
			return func() error {
				expected = nil
				return prog.DetachGenericFD(sockets.FileDescriptor(), attachType)
			}, prog.AttachGenericFD(sockets.FileDescriptor(), attachType, bpf.BPFFNone)
		}, func() error {
			if err := selftest.ThroughSockmap(sockets); !errors.Is(err, expected) {
				return fmt.Errorf("sending returns %v, want %v", err, expected)
			}
			return nil
		})
	}
}

func sockmapLink(t *selftest.Test) error {
	var sockets *bpf.BPFMap
	return t.Denied("prog", func(prog *bpf.BPFProg) (link *bpf.BPFLink, err error) {
		sockets, err = prog.GetModule().GetMap("sockets")
		if err != nil {
			return nil, err
		}
		return prog.AttachSockMap(sockets.FileDescriptor())
	}, func() error {
		if sockets == nil {
			return nil
		}
		return selftest.ThroughSockmap(sockets)
	}, unix.EACCES)
}
