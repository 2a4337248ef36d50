// Kprobe-offset checks that a program runs when the instruction at an address of the kernel does, given as
// such or as a function's name and an offset.
package main

import (
	_ "embed"
	"errors"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

const function = "security_task_getpgid"

func run() error {
	address, err := selftest.KernelFunction(function)
	if err != nil {
		return err
	}
	err = selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachKprobeOffset(address)
	}, selftest.Syscall, selftest.KprobeRefusals()...)
	if err != nil {
		return err
	}
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		return module.InitGlobalVariable("behind", address+entry)
	})
	if err != nil {
		return err
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	return selftest.Effect(module, func() (func() error, error) {
		detach, err := selftest.Attached(attachInside(prog))
		return detach, selftest.Skip(err, selftest.KprobeRefusals()...)
	}, selftest.Syscall)
}

// entry is where a program at a function's beginning may be told to be: on x86 a probe there is moved behind
// endbr64, which has 4 bytes, and its address is that of the breakpoint's end.
const entry = 5

// attachInside attaches at the first instruction behind the function's beginning that the kernel allows: it
// refuses what is the middle of an instruction, and on arm64 what ftrace has patched.
func attachInside(prog *bpf.BPFProg) (link *bpf.BPFLink, err error) {
	for offset := uint64(entry); offset <= 32; offset++ {
		link, err = prog.AttachKprobeOpts(function, bpf.KprobeOpts{Offset: offset})
		if !errors.Is(err, syscall.EILSEQ) && !errors.Is(err, syscall.EINVAL) {
			break
		}
	}
	return link, err
}
