package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func devmap(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	for name, test := range map[string]struct {
		key, value uint32
	}{
		"array": {1, selftest.Loopback},
		"hash":  {1000, selftest.Loopback},
		"cpus":  {0, 192}, // the value is the size of the CPU's queue
	} {
		elements, err := module.GetMap(name)
		if err != nil {
			return err
		}
		prog, err := module.GetProgram("to_" + name)
		if err != nil {
			return err
		}
		run := func() (uint32, error) {
			opts := bpf.RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64}
			err := prog.Run(&opts)
			return opts.RetVal, err
		}
		const drop, redirect = 1, 4 // XDP_DROP, XDP_REDIRECT
		if ret, err := run(); err != nil || ret != drop {
			return fmt.Errorf("%s: without an element, the result is %d, %v", name, ret, err)
		}
		if err := elements.Update(unsafe.Pointer(&test.key), unsafe.Pointer(&test.value)); err != nil {
			return err
		}
		if ret, err := run(); err != nil || ret != redirect {
			return fmt.Errorf("%s: the result is %d, %v", name, ret, err)
		}
		if got, err := elements.GetValue(unsafe.Pointer(&test.key)); err != nil || binary.NativeEndian.Uint32(got) != test.value {
			return fmt.Errorf("%s: the value is %x, %v", name, got, err)
		}
		if err := elements.DeleteKey(unsafe.Pointer(&test.key)); err != nil {
			return err
		}
		if ret, err := run(); err != nil || ret != drop {
			return fmt.Errorf("%s: after the element was deleted, the result is %d, %v", name, ret, err)
		}
	}
	return nil
}

func reuseport(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	elements, err := module.GetMap("sockets")
	if err != nil {
		return err
	}
	address := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 4242}
	var sockets [2]int
	for i := range sockets {
		if sockets[i], err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		defer unix.Close(sockets[i])
		if err := unix.SetsockoptInt(sockets[i], unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(sockets[i], address); err != nil {
			return err
		}
	}
	if err := unix.SetsockoptInt(sockets[0], unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, prog.FileDescriptor()); err != nil {
		return err
	}
	const key = 1 // the key that the program looks up
	for _, socket := range sockets {
		if err := selftest.PutSocket(elements, key, socket); err != nil {
			return err
		}
		if err := unix.Sendto(sockets[0], []byte("selftest"), 0, address); err != nil {
			return err
		}
		if err := selftest.Receive(socket); err != nil {
			return err
		}
	}
	deleted := uint32(key)
	if err := elements.DeleteKey(unsafe.Pointer(&deleted)); err != nil {
		return err
	}
	if err := unix.Sendto(sockets[0], []byte("selftest"), 0, address); err != nil {
		return err
	}
	for _, socket := range sockets {
		if err := selftest.Receive(socket); !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("without an element, receiving returns %v", err)
		}
	}
	return nil
}

func sockhash(t *selftest.Test) error {
	return selftest.Connection(nil, func(from, to int) error {
		module, prog, err := t.LoadProgram("prog")
		if err != nil {
			return err
		}
		defer module.Close()
		sockets, err := module.GetMap("sockets")
		if err != nil {
			return err
		}
		if err := prog.AttachGenericFD(sockets.FileDescriptor(), bpf.BPFAttachTypeSKSKBStreamVerdict, bpf.BPFFNone); err != nil {
			return err
		}
		// The program redirects all data to the socket with key 1000.
		for key, socket := range map[uint32]int{1000: from, 2000: to} {
			if err := selftest.PutSocket(sockets, key, socket); err != nil {
				return err
			}
		}
		if err := send(from, from); err != nil {
			return fmt.Errorf("with the program: %w", err)
		}
		key := uint32(2000)
		if err := sockets.DeleteKey(unsafe.Pointer(&key)); err != nil {
			return err
		}
		if err := send(from, to); err != nil {
			return fmt.Errorf("after the element was deleted: %w", err)
		}
		return nil
	})
}

// send sends over one socket and checks that the data arrives at another.
func send(from, to int) error {
	if _, err := unix.Write(from, []byte("selftest")); err != nil {
		return err
	}
	return selftest.Receive(to)
}

func xsk(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	sockets, err := module.GetMap("sockets")
	if err != nil {
		return err
	}
	socket, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	// Linux 7.3 accepts only sockets that have a receive ring.
	if err := unix.SetsockoptInt(socket, unix.SOL_XDP, unix.XDP_RX_RING, 2); err != nil {
		return err
	}
	const drop, redirect = 1, 4 // XDP_DROP, XDP_REDIRECT
	expect := func(when string, want uint32) error {
		opts := bpf.RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64}
		if err := prog.Run(&opts); err != nil || opts.RetVal != want {
			return fmt.Errorf("%s, the result is %d, %v", when, opts.RetVal, err)
		}
		return nil
	}
	if err := expect("without an element", drop); err != nil {
		return err
	}
	key, value := uint32(1), uint32(socket)
	if err := sockets.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if err := expect("with an element", redirect); err != nil {
		return err
	}
	if err := sockets.DeleteKey(unsafe.Pointer(&key)); err != nil {
		return err
	}
	return expect("after the element was deleted", drop)
}
