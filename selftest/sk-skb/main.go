// Sk-skb checks that a program that is attached to a sockmap decides on what comes in for the sockets
// in it.
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
	return selftest.SockmapDenied(object, bpf.BPFAttachTypeSKSKBStreamVerdict, unix.EAGAIN)
}
