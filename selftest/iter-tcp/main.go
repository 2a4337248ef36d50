// Iter-tcp checks that an iterator goes over the TCP sockets of the network namespace.
package main

import (
	_ "embed"
	"fmt"
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
	return selftest.InNetwork(func() error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		return selftest.Connection(nil, func(from, to int) error {
			address, err := unix.Getsockname(from)
			if err != nil {
				return err
			}
			port := address.(*unix.SockaddrInet4).Port
			got, err := selftest.Iterate(module, "prog", bpf.IterOpts{})
			// The one that listens and the two ends.
			if err != nil || len(got) != 3 || !slices.Contains(got, uint64(port)) {
				return fmt.Errorf("the ports are %v without %d, %v", got, port, err)
			}
			return nil
		})
	})
}
