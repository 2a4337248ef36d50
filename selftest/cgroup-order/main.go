// Cgroup-order checks that a program runs before another one of its cgroup that was attached earlier,
// if it is asked for.
package main

import (
	_ "embed"
	"fmt"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InNetwork(func() error {
		return selftest.InCgroup(func(path string) error {
			module, err := selftest.Load(object)
			if err != nil {
				return err
			}
			defer module.Close()
			early, err := module.GetProgram("early")
			if err != nil {
				return err
			}
			late, err := module.GetProgram("late")
			if err != nil {
				return err
			}
			link, err := late.AttachCgroup(path)
			if err != nil {
				return err
			}
			_, err = early.AttachCgroupOpts(path, bpf.OrderOpts{Flags: bpf.BPFFBefore | bpf.BPFFLink, RelativeFd: link.FileDescriptor()})
			if err != nil {
				return selftest.Skip(err, syscall.EINVAL) // before Linux 6.17
			}
			if err := selftest.Connect(); err != nil {
				return err
			}
			if n, err := selftest.Hits(module, 0); err != nil || n != 2 {
				return fmt.Errorf("the program that was to be second was number %d, %v", n, err)
			}
			return nil
		})
	})
}
