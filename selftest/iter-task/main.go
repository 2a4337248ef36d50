// Iter-task checks that an iterator goes over all tasks, or over those of one process or thread.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	all, err := selftest.Iterate(module, "prog", bpf.IterOpts{})
	if err != nil {
		return err
	}
	self := uint64(os.Getpid())
	if !slices.Contains(all, self) || !slices.ContainsFunc(all, func(pid uint64) bool { return pid != self }) {
		return fmt.Errorf("process %d and others aren't among %v", self, all)
	}
	one, err := selftest.Iterate(module, "prog", bpf.IterOpts{Tid: unix.Gettid()})
	if err != nil || !slices.Equal(one, []uint64{self}) {
		return fmt.Errorf("with a thread of process %d, the iterator gives %v, %v", self, one, err)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for _, opts := range []bpf.IterOpts{{Pid: os.Getpid()}, {PidFd: pidfd}} {
		threads, err := selftest.Iterate(module, "prog", opts)
		if err != nil || len(threads) == 0 || slices.ContainsFunc(threads, func(pid uint64) bool { return pid != self }) {
			return fmt.Errorf("with %+v, the iterator gives %v, %v", opts, threads, err)
		}
	}
	return nil
}
