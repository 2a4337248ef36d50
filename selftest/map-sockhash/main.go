// Map-sockhash checks that a program sends what comes in for one socket on to another, which the process has
// put into a hash map.
package main

import (
	_ "embed"
	"fmt"
	"unsafe"

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
		return selftest.Connection(nil, func(from, to int) error {
			module, err := selftest.Load(object)
			if err != nil {
				return err
			}
			defer module.Close()
			prog, err := module.GetProgram("prog")
			if err != nil {
				return err
			}
			sockets, err := module.GetMap("sockets")
			if err != nil {
				return err
			}
			if err := prog.AttachGenericFD(sockets.FileDescriptor(), bpf.BPFAttachTypeSKSKBStreamVerdict, bpf.BPFFNone); err != nil {
				return err
			}
			// The program knows the key of the end that gets everything.
			for key, socket := range map[uint32]int{1000: from, 2000: to} {
				if err := selftest.PutSocket(sockets, key, socket); err != nil {
					return err
				}
			}
			if err := send(from, from); err != nil {
				return fmt.Errorf("with the program: %w", err)
			}
			key := uint32(2000)
			if err := sockets.DeleteKey(unsafe.Pointer(&key)); err != nil {
				return err
			}
			if err := send(from, to); err != nil {
				return fmt.Errorf("after the element was deleted: %w", err)
			}
			return nil
		})
	})
}

// send checks that what is sent by one socket arrives at another.
func send(from, to int) error {
	if _, err := unix.Write(from, []byte("selftest")); err != nil {
		return err
	}
	return selftest.Receive(to)
}
