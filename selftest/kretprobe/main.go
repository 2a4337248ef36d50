// Kretprobe checks that a program runs when a function of the kernel returns, given by its name or its
// address, and sees what, by each kind of probe.
package main

import (
	_ "embed"
	"fmt"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	function := selftest.SyscallFunction("getpgid")
	address, err := selftest.KernelFunction(function)
	if err != nil {
		return err
	}
	check := func(mode bpf.ProbeAttachMode, attach func(*bpf.BPFProg) (*bpf.BPFLink, error)) error {
		return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			link, err := attach(prog)
			return selftest.MadeBy(mode, link, err)
		}, selftest.FailingSyscall, selftest.KprobeRefusals()...)
	}
	err = check(bpf.ProbeAttachModeLink, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachKretprobe(function)
	})
	if err != nil {
		return err
	}
	err = check(bpf.ProbeAttachModeLink, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachKretprobeOnOffset(address)
	})
	if err != nil {
		return err
	}
	for _, mode := range []bpf.ProbeAttachMode{bpf.ProbeAttachModeLegacy, bpf.ProbeAttachModePerf, bpf.ProbeAttachModeLink} {
		err := check(mode, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachKprobeOpts(function, bpf.KprobeOpts{Retprobe: true, AttachMode: mode})
		})
		if err != nil {
			return fmt.Errorf("mode %d: %w", mode, err)
		}
	}
	return nil
}
