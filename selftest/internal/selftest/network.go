package selftest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// Loopback is the index of the loopback interface.
const Loopback = 1

var loopback = [4]byte{127, 0, 0, 1}

// Datagram sends a datagram over the loopback interface. The error is unix.EAGAIN if the datagram doesn't arrive.
func Datagram() error {
	return DatagramTo(&unix.SockaddrInet4{Addr: loopback})
}

// DatagramTo is [Datagram] with a socket that is bound to an address, sends to itself and then connects to itself.
func DatagramTo(address unix.Sockaddr) error {
	family := unix.AF_INET
	switch address.(type) {
	case *unix.SockaddrInet6:
		family = unix.AF_INET6
	case *unix.SockaddrUnix:
		family = unix.AF_UNIX
	}
	socket, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	self, err := unix.Getsockname(socket)
	if err != nil {
		return err
	}
	if err := unix.Sendto(socket, []byte("selftest"), 0, self); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := Receive(socket); err != nil {
		return err
	}
	if err := unix.Connect(socket, self); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = unix.Getpeername(socket)
	return err
}

// Connection calls test with the two ends of a TCP connection over the loopback interface. If setup isn't nil, it is
// called with the connecting socket before the connection is made.
func Connection(setup func(socket int) error, test func(from, to int) error) error {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: loopback}); err != nil {
		return err
	}
	if err := unix.Listen(listener, 1); err != nil {
		return err
	}
	address, err := unix.Getsockname(listener)
	if err != nil {
		return err
	}
	from, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	if setup != nil {
		if err := setup(from); err != nil {
			return err
		}
	}
	if err := unix.Connect(from, address); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	to, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return test(from, to)
}

// Connect makes a TCP connection over the loopback interface.
func Connect() error {
	return Connection(nil, func(int, int) error { return nil })
}

// ConnectBy makes a TCP connection that uses the named congestion control.
func ConnectBy(congestion string) error {
	return Connection(func(socket int) error {
		if err := unix.SetsockoptString(socket, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion); err != nil {
			return fmt.Errorf("choose the congestion control: %w", err)
		}
		return nil
	}, func(from, to int) error { return nil })
}

// ThroughSockmap puts both ends of a TCP connection into a sockmap and sends over the connection. The error is
// unix.EAGAIN if nothing arrives.
func ThroughSockmap(sockets *bpf.BPFMap) error {
	return Connection(nil, func(from, to int) error {
		for key, socket := range map[uint32]uint32{0: uint32(from), 1: uint32(to)} {
			if err := sockets.Update(unsafe.Pointer(&key), unsafe.Pointer(&socket)); err != nil {
				return err
			}
		}
		if _, err := unix.Write(from, []byte("selftest")); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		return Receive(to)
	})
}

// PutSocket puts a socket into a map with 8-byte values and checks that a lookup returns the socket's cookie.
func PutSocket(sockets *bpf.BPFMap, key uint32, socket int) error {
	value := uint64(socket)
	if err := sockets.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	cookie, err := unix.GetsockoptUint64(socket, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return err
	}
	got, err := sockets.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint64(got) != cookie {
		return fmt.Errorf("the socket's cookie is %d, the map has %x, %v", cookie, got, err)
	}
	return nil
}

// makePair creates the pair of interfaces of [Pair] and brings both up.
func makePair(kind, name, peer string) error {
	interfaceHeader := make([]byte, unix.SizeofIfInfomsg)
	_, err := netlink(unix.RTM_NEWLINK, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, interfaceHeader,
		attribute(unix.IFLA_IFNAME, []byte(name+"\x00")),
		attribute(unix.IFLA_LINKINFO,
			attribute(unix.IFLA_INFO_KIND, []byte(kind)),
			attribute(unix.IFLA_INFO_DATA,
				// VETH_INFO_PEER is the same number.
				attribute(unix.IFLA_NETKIT_PEER_INFO, interfaceHeader, attribute(unix.IFLA_IFNAME, []byte(peer+"\x00"))))))
	if err != nil {
		return fmt.Errorf("make a pair of %s: %w", kind, err)
	}
	return up(name, peer)
}

// attribute encodes an attribute of a netlink message, padded to the alignment. The parts of its value must be aligned.
func attribute(kind uint16, value ...[]byte) []byte {
	a := make([]byte, unix.SizeofRtAttr)
	for _, part := range value {
		a = append(a, part...)
	}
	binary.NativeEndian.PutUint16(a, uint16(len(a)))
	binary.NativeEndian.PutUint16(a[2:], kind)
	return append(a, make([]byte, -len(a)&(unix.NLMSG_ALIGNTO-1))...)
}

// attributes decodes a sequence of attributes and returns their values by kind.
func attributes(message []byte) map[uint16][]byte {
	values := make(map[uint16][]byte)
	for len(message) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(message))
		if size < unix.SizeofRtAttr || size > len(message) {
			break
		}
		values[binary.NativeEndian.Uint16(message[2:])] = message[unix.SizeofRtAttr:size]
		message = message[min(size+(-size&(unix.NLMSG_ALIGNTO-1)), len(message)):]
	}
	return values
}

// The modes in which a network interface runs an XDP program: XDP_ATTACHED_DRV and XDP_ATTACHED_SKB.
const (
	XDPDriver  = 1
	XDPGeneric = 2
)

// WantXDP checks in which mode a network interface runs an XDP program.
func WantXDP(name string, mode byte) error {
	answer, err := netlink(unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_IFNAME, []byte(name+"\x00")))
	if err != nil {
		return err
	}
	if len(answer) < unix.SizeofIfInfomsg {
		return fmt.Errorf("an answer of %d bytes", len(answer))
	}
	xdp := attributes(attributes(answer[unix.SizeofIfInfomsg:])[unix.IFLA_XDP])
	if got := xdp[unix.IFLA_XDP_ATTACHED]; !bytes.Equal(got, []byte{mode}) {
		return fmt.Errorf("%s runs XDP in mode %d, want %d", name, got, mode)
	}
	return nil
}

// netlink sends a request to the kernel's routing subsystem and returns the body of the answer.
func netlink(kind, flags uint16, parts ...[]byte) ([]byte, error) {
	message := make([]byte, unix.SizeofNlMsghdr)
	for _, part := range parts {
		message = append(message, part...)
	}
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], kind)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST|flags)
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer unix.Close(socket)
	if err := unix.Sendto(socket, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answer := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(socket, answer, 0)
	if err != nil {
		return nil, err
	}
	if n < unix.SizeofNlMsghdr+4 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := answer[unix.SizeofNlMsghdr:n]
	if binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
			return nil, unix.Errno(-code)
		}
	}
	return body, nil
}

// up brings network interfaces up.
func up(names ...string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	for _, name := range names {
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_UP)
		if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	return nil
}

// Across sends a packet from one end of a pair to the other. The error is unix.EAGAIN if it doesn't arrive.
func Across(from, to string) error {
	// The EtherType for local experiments: the kernel doesn't send such packets by itself.
	const protocol = 0x88b5
	inNetworkOrder := binary.NativeEndian.Uint16([]byte{protocol >> 8, protocol & 0xff})
	var ends [2]int
	var addresses [2]*unix.SockaddrLinklayer
	for i, name := range []string{from, to} {
		device, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		addresses[i] = &unix.SockaddrLinklayer{Protocol: inNetworkOrder, Ifindex: device.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
		ends[i], err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(inNetworkOrder))
		if err != nil {
			return err
		}
		defer unix.Close(ends[i])
		if err := unix.Bind(ends[i], addresses[i]); err != nil {
			return err
		}
	}
	if err := unix.Sendto(ends[0], []byte("selftest"), 0, addresses[0]); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return Receive(ends[1])
}

// Receive waits up to 100 ms for a packet. The error is unix.EAGAIN if none arrives.
func Receive(socket int) error {
	timeout := unix.NsecToTimeval((100 * time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	if _, _, err := unix.Recvfrom(socket, make([]byte, 8), 0); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return nil
}
