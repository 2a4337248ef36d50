// Socket-filter checks that a program decides on what a socket receives, to which it is attached by a
// socket option.
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
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
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
			return fmt.Errorf("receiving gives %v, want %v", err, want)
		}
		return nil
	})
}
