// Reuseport checks that a program decides which socket among those of one port gets a packet.
package main

import (
	_ "embed"
	"errors"
	"fmt"

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
				return fmt.Errorf("receiving gives %v, want %v", err, want)
			}
			return nil
		})
	})
}
