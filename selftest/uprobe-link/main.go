// Uprobe-link checks that a program runs by a uprobe that is a perf event with a BPF link.
package main

import (
	_ "embed"
	"os"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	path, offset, err := selftest.Function("selftest_function")
	if err != nil {
		return err
	}
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		link, err := prog.AttachUprobeOpts(os.Getpid(), path, offset, bpf.UprobeOpts{AttachMode: bpf.ProbeAttachModeLink})
		return selftest.MadeBy(bpf.ProbeAttachModeLink, link, err)
	}, selftest.CallFunction)
}
