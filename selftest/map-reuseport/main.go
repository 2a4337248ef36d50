// Map-reuseport checks that a program gives a packet to the socket, among those of one port, that the process
// has put into a map.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InNetwork(func() error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
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
		const key = 1 // which the program knows
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
				return fmt.Errorf("without an element, receiving gives %v", err)
			}
		}
		return nil
	})
}
