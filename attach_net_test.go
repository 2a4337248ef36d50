package libbpfgo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connect makes a TCP connection over the loopback interface.
func connect(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestAttachNetwork(t *testing.T) {
	m := loadAttach(t, "on_xdp", "on_connect", "on_lookup")
	inOwnNetwork(t, func() {
		provoke := func() { connect(t) }

		link, err := getProgram(t, m, "on_xdp").AttachXDP("lo")
		wantCalls(t, m, callsXDP, link, err, provoke)
		_, err = getProgram(t, m, "on_xdp").AttachXDP("nothing")
		wantErr(t, err, syscall.ENODEV, "on_xdp", "nothing")

		link, err = getProgram(t, m, "on_lookup").AttachNetns("/proc/thread-self/ns/net")
		wantCalls(t, m, callsNetns, link, err, provoke)
		_, err = getProgram(t, m, "on_lookup").AttachNetns("/nothing")
		wantErr(t, err, syscall.ENOENT, "on_lookup", "/nothing")
		_, err = getProgram(t, m, "on_lookup").AttachNetns("/dev/null")
		wantErr(t, err, syscall.EINVAL, "on_lookup", "/dev/null")

		_, err = getProgram(t, m, "on_connect").AttachCgroup("/nothing")
		wantErr(t, err, syscall.ENOENT, "on_connect", "/nothing")
		_, err = getProgram(t, m, "on_connect").AttachCgroup("/tmp")
		wantErr(t, err, syscall.EBADF, "on_connect", "/tmp")
		link, err = getProgram(t, m, "on_connect").AttachCgroup(ownCgroup(t))
		wantCalls(t, m, callsCgroup, link, err, provoke)
	})
}

// inOwnNetwork runs f in a network namespace of its own, with a loopback interface that is up.
func inOwnNetwork(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
	}()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
	f()
}

// ping sends a datagram over the loopback interface, from the calling thread's namespace.
func ping(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	// To itself: nobody at the port would be reported by a second packet.
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(socket, []byte{1}, 0, address); err != nil {
		t.Fatal(err)
	}
}

// needAttach skips where libbpf 1.x is older than what attach needs, which must say so.
func needAttach(t *testing.T, libbpf int, program string, attach func(*BPFProg) error) {
	t.Helper()
	if err := needLibbpf(1, libbpf, program); err != nil {
		prog := getProgram(t, loadAttach(t), program)
		wantErr(t, attach(prog), errors.ErrUnsupported, program, fmt.Sprintf("libbpf 1.%d", libbpf))
		t.Skip(err)
	}
}

func TestAttachTCX(t *testing.T) {
	needAttach(t, 3, "on_packet", func(prog *BPFProg) error {
		_, err := prog.AttachTCX("lo", OrderOpts{})
		return err
	})
	m, err := tryLoadAttach(t, "on_tcx", "on_netkit")
	needKernel(t, err, 6, 7)
	prog := getProgram(t, m, "on_tcx")
	inOwnNetwork(t, func() {
		link, err := prog.AttachTCX("lo", OrderOpts{})
		needKernel(t, err, 6, 6)
		wantCalls(t, m, callsTCX, link, err, func() { ping(t) })

		other := getProgram(t, loadAttach(t, "on_tcx"), "on_tcx")
		link, err = prog.AttachTCX("lo", OrderOpts{})
		if err != nil {
			t.Fatal(err)
		}
		for _, opts := range []OrderOpts{
			{Flags: BPFFBefore},
			{Flags: BPFFAfter, RelativeFD: prog.FileDescriptor()},
			{Flags: BPFFBefore | BPFFLink, RelativeFD: link.FileDescriptor()},
		} {
			link, err := other.AttachTCX("lo", opts)
			if err != nil {
				t.Fatalf("%+v: %v", opts, err)
			}
			if err := link.Destroy(); err != nil {
				t.Error(err)
			}
		}
		leaksNothing(t, func() {
			_, err = prog.AttachTCX("lo", OrderOpts{})
			wantErr(t, err, syscall.EEXIST, "on_tcx", `"lo"`)
			_, err = other.AttachTCX("lo", OrderOpts{ExpectedRevision: 1 << 40})
			wantErr(t, err, syscall.ESTALE, "on_tcx", `"lo"`)
			_, err = other.AttachTCX("lo", OrderOpts{Flags: BPFFBefore, RelativeFD: 1, RelativeID: 1})
			wantErr(t, err, syscall.EINVAL, "on_tcx", "relative_id")
			_, err = other.AttachTCX("nothing", OrderOpts{})
			wantErr(t, err, syscall.ENODEV, "on_tcx", "nothing")
			_, err = getProgram(t, m, "on_netkit").AttachNetkit("nothing", OrderOpts{})
			wantErr(t, err, syscall.ENODEV, "on_netkit", "nothing")
		})
	})
}

func TestAttachNetfilter(t *testing.T) {
	needAttach(t, 3, "on_packet", func(prog *BPFProg) error {
		_, err := prog.AttachNetfilter(NetfilterOpts{})
		return err
	})
	m, err := tryLoadAttach(t, "on_netfilter")
	needKernel(t, err, 6, 4)
	prog := getProgram(t, m, "on_netfilter")
	inOwnNetwork(t, func() {
		link, err := prog.AttachNetfilter(NetfilterOpts{ProtocolFamily: unix.AF_INET, Priority: -100})
		wantCalls(t, m, callsNetfilter, link, err, func() { ping(t) })
		leaksNothing(t, func() {
			_, err = prog.AttachNetfilter(NetfilterOpts{ProtocolFamily: unix.AF_INET, Hook: 99, Priority: -100})
			wantErr(t, err, syscall.EPROTO, "on_netfilter", "netfilter hook 99")
		})
	})
}

func TestAttachSockMap(t *testing.T) {
	needAttach(t, 5, "on_message", func(prog *BPFProg) error {
		_, err := prog.AttachSockMap(1)
		return err
	})
	m := loadAttach(t, "on_message")
	prog := getProgram(t, m, "on_message")
	sockets := getMap(t, m, "sockets")
	inOwnNetwork(t, func() {
		link, err := prog.AttachSockMap(sockets.FileDescriptor())
		needKernel(t, err, 6, 10)
		wantCalls(t, m, callsMessage, link, err, func() { sendThrough(t, sockets) })
	})
	leaksNothing(t, func() {
		_, err := prog.AttachSockMap(getMap(t, m, "calls").FileDescriptor())
		wantErr(t, err, syscall.EINVAL, "on_message")
		_, err = prog.AttachSockMap(-1)
		wantErr(t, err, syscall.EBADF, "on_message", "map -1")
	})
}

// sendThrough sends over a TCP connection whose socket is in a sockmap.
func sendThrough(t *testing.T, sockets *BPFMap) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var updateErr error
	err = raw.Control(func(fd uintptr) {
		key, value := uint32(0), uint32(fd)
		updateErr = sockets.Update(unsafe.Pointer(&key), unsafe.Pointer(&value))
	})
	if err := errors.Join(err, updateErr); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
}
