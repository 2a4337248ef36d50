package probes

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// function is a kernel function that the kernel calls in [selftest.Syscall].
const function = "security_task_getpgid"

func kprobe(opts bpf.KprobeOpts) selftest.Attach {
	return func(prog *bpf.BPFProg) (*bpf.BPFLink, error) { return prog.AttachKprobeOpts(function, opts) }
}

// kprobeBy returns the function of a case with a kprobe that is attached in the given mode.
func kprobeBy(mode bpf.ProbeAttachMode) func(*selftest.Test) error {
	return selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		link, err := prog.AttachKprobeOpts(function, bpf.KprobeOpts{AttachMode: mode})
		return selftest.MadeBy(mode, link, err)
	}, selftest.Syscall)
}

func ksyscall(opts bpf.KsyscallOpts) selftest.Attach {
	return func(prog *bpf.BPFProg) (*bpf.BPFLink, error) { return prog.AttachKsyscall("getpgid", opts) }
}

func kprobeMultiOpts(t *selftest.Test) error {
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
		err := t.Calls(1001, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachKprobeMultiOpts("", opts)
		}, func() error {
			_, err := unix.Getpgid(os.Getpid())
			if err == nil {
				_, err = unix.Getsid(os.Getpid())
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func kprobeOffset(t *selftest.Test) error {
	address, err := selftest.KernelFunction(function)
	if err != nil {
		return err
	}
	err = t.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachKprobeOffset(address)
	}, selftest.Syscall)
	if err != nil {
		return err
	}
	module, prog, err := t.LoadProgram("prog", func(module *bpf.Module) error {
		return module.InitGlobalVariable("behind", address+entry)
	})
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.Effect(module, func() (func() error, error) {
		return selftest.Attached(attachInside(prog))
	}, selftest.Syscall)
}

// entry is the largest offset in a function that a program at the function's beginning may read as its address. On x86,
// such a probe is moved behind endbr64, which has 4 bytes, and the address is the end of its breakpoint, 1 byte later.
const entry = 5

// attachInside attaches at the first instruction behind the function's beginning that the kernel accepts. The kernel
// refuses an offset in the middle of an instruction and, on arm64, the instructions that ftrace has patched.
func attachInside(prog *bpf.BPFProg) (link *bpf.BPFLink, err error) {
	for offset := uint64(entry); offset <= 32; offset++ {
		link, err = prog.AttachKprobeOpts(function, bpf.KprobeOpts{Offset: offset})
		if !errors.Is(err, syscall.EILSEQ) && !errors.Is(err, syscall.EINVAL) {
			break
		}
	}
	return link, err
}

func kretprobe(t *selftest.Test) error {
	function := selftest.SyscallFunction("getpgid")
	address, err := selftest.KernelFunction(function)
	if err != nil {
		return err
	}
	check := func(mode bpf.ProbeAttachMode, attach selftest.Attach) error {
		return t.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			link, err := attach(prog)
			return selftest.MadeBy(mode, link, err)
		}, selftest.FailingSyscall)
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
