// Sockmap-link checks that a program that is attached to a sockmap by a link decides on what is sent
// through the sockets in it.
package main

import (
	_ "embed"

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
		var sockets *bpf.BPFMap
		return selftest.Denied(object, "prog", func(prog *bpf.BPFProg) (link *bpf.BPFLink, err error) {
			sockets, err = prog.GetModule().GetMap("sockets")
			if err != nil {
				return nil, err
			}
			return prog.AttachSockMap(sockets.FileDescriptor())
		}, func() error {
			if sockets == nil {
				return nil
			}
			return selftest.ThroughSockmap(sockets)
		}, unix.EACCES, unix.EINVAL) // before Linux 6.10, there is no link of this kind
	})
}
