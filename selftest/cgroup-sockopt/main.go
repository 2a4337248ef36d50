// Cgroup-sockopt checks that programs decide on the socket options of the processes of a cgroup.
package main

import (
	_ "embed"

	"golang.org/x/sys/unix"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InCgroupDenied(object, func() error {
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
	}, map[string]error{"getsockopt": unix.EPERM, "setsockopt": unix.EPERM})
}
