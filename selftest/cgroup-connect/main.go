// Cgroup-connect checks that a program refuses the connections of the processes of a cgroup.
package main

import (
	_ "embed"
	"syscall"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InCgroupDenied(object, selftest.Connect, map[string]error{"prog": syscall.EPERM})
}
