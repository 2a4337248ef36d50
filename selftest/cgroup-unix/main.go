// Cgroup-unix checks that programs watch, and decide on, the addresses that the Unix sockets of a
// cgroup deal with.
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
		return selftest.DatagramTo(&unix.SockaddrUnix{Name: "@selftest"})
	}, map[string]error{
		"connect_unix": unix.EPERM, "sendmsg_unix": unix.EPERM, "recvmsg_unix": nil, "getsockname_unix": nil, "getpeername_unix": nil,
	}, unix.EINVAL) // before Linux 6.7
}
