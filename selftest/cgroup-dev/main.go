// Cgroup-dev checks that a program decides on the devices that the processes of a cgroup open.
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
		file, err := os.Open("/dev/zero")
		if err != nil {
			return err
		}
		return file.Close()
	}, map[string]error{"prog": syscall.EPERM})
}
