// Kprobe-link checks that a program runs by a kprobe that is a perf event with a BPF link.
package main

import (
	_ "embed"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(func() error { return selftest.KprobeBy(object, bpf.ProbeAttachModeLink) })
}
