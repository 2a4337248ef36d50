// Uprobe-legacy checks that a program runs by a uprobe that is an event in tracefs.
package main

import (
	_ "embed"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(func() error { return selftest.UprobeBy(object, bpf.ProbeAttachModeLegacy) })
}
