// Cgroup-sysctl checks that a program decides on the settings of the kernel that the processes of a
// cgroup read.
package main

import (
	_ "embed"
	"os"
	"syscall"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InCgroupDenied(object, func() error {
		_, err := os.ReadFile("/proc/sys/kernel/ostype")
		return err
	}, map[string]error{"prog": syscall.EPERM})
}
