// Map-task-storage checks that the process reads, by a descriptor of itself, what a program stores
// with its task, and the other way round.
package main

import (
	_ "embed"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

// The process's task is that of its first thread: the test stays there.
func init() {
	runtime.LockOSThread()
}

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	return selftest.Storage(module, fd, selftest.Syscall)
}
