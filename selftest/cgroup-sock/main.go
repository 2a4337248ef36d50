// Cgroup-sock checks that programs watch, and decide on, the making and binding of the sockets of a
// cgroup.
package main

import (
	_ "embed"
	"errors"

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
		return errors.Join(selftest.Datagram(), selftest.DatagramTo(&unix.SockaddrInet6{Addr: [16]byte{15: 1}}))
	}, map[string]error{"create": unix.EPERM, "release": nil, "post_bind4": unix.EPERM, "post_bind6": unix.EPERM})
}
