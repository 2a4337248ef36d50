// Map-sk-storage checks that the process reads, by its descriptor, what a program stores with a socket, and
// the other way round.
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
	return selftest.InCgroup(func(path string) error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		if _, err := prog.AttachCgroup(path); err != nil {
			return err
		}
		socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(socket)
		return selftest.Storage(module, socket, func() error {
			return unix.Connect(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 4242})
		})
	})
}
