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
	selftest.Run(run)
}

func run() error {
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		link, err := prog.AttachKprobeOpts("security_task_getpgid", bpf.KprobeOpts{AttachMode: bpf.ProbeAttachModeLink})
		return selftest.MadeBy(bpf.ProbeAttachModeLink, link, err)
	}, selftest.Syscall, selftest.KprobeRefusals()...)
}
