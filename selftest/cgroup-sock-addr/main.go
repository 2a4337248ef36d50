// Cgroup-sock-addr checks that programs watch, and decide on, the addresses that the sockets of a
// cgroup deal with.
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
	}, map[string]error{
		"bind4": unix.EPERM, "bind6": unix.EPERM,
		"connect4": unix.EPERM, "connect6": unix.EPERM,
		"sendmsg4": unix.EPERM, "sendmsg6": unix.EPERM,
		"recvmsg4": nil, "recvmsg6": nil,
		"getsockname4": nil, "getsockname6": nil,
		"getpeername4": nil, "getpeername6": nil,
	})
}
