// Kprobe-multi-opts checks that a program runs when one of several functions of the kernel is entered
// that were named, or whose addresses were given, and gets the cookie of that one.
package main

import (
	_ "embed"
	"os"

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
	names := []string{"security_task_getpgid", "security_task_getsid"}
	var addresses []uint64
	for _, name := range names {
		address, err := selftest.KernelFunction(name)
		if err != nil {
			return err
		}
		addresses = append(addresses, address)
	}
	cookies := []uint64{1000, 1}
	for _, opts := range []bpf.KprobeMultiOpts{{Symbols: names, Cookies: cookies}, {Addresses: addresses, Cookies: cookies}} {
		err := selftest.Calls(object, 1001, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachKprobeMultiOpts("", opts)
		}, func() error {
			_, err := unix.Getpgid(os.Getpid())
			if err == nil {
				_, err = unix.Getsid(os.Getpid())
			}
			return err
		}, selftest.KprobeRefusals()...)
		if err != nil {
			return err
		}
	}
	return nil
}
