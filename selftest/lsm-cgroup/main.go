// Lsm-cgroup checks that a program at a security hook decides for the processes of a cgroup alone.
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
	if err := selftest.NeedLSM(); err != nil {
		return err
	}
	return selftest.InCgroupDenied(object, selftest.Datagram, map[string]error{"prog": unix.EPERM}, unix.EPERM)
}
