// Map-cgrp-storage checks that the process reads, by a descriptor of it, what a program stores with its
// cgroup, and the other way round.
package main

import (
	_ "embed"
	"os"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	if err := selftest.NeedMap(bpf.MapTypeCgrpStorage); err != nil {
		return err
	}
	return selftest.InCgroup(func(path string) error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		folder, err := os.Open(path)
		if err != nil {
			return err
		}
		defer folder.Close()
		if err := module.AttachPrograms(); err != nil {
			return err
		}
		return selftest.Storage(module, int(folder.Fd()), selftest.Syscall)
	})
}
