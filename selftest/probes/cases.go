// Package probes has the selftests of kprobes, uprobes and static tracepoints of processes (USDT).
package probes

import (
	"embed"
	"os"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of kprobes, uprobes and static tracepoints of processes (USDT).
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:     "kprobe",
		Checks:   "a program runs when a kernel function is entered",
		Refusals: atKprobe,
		Run:      selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) { return prog.AttachKprobe(function) }, selftest.Syscall),
	},
	{
		Name:     "kprobe-cookie",
		Checks:   "a program at a kprobe reads its cookie",
		Refusals: atKprobe,
		Run:      selftest.One(kprobe(bpf.KprobeOpts{Cookie: selftest.Cookie}), selftest.Syscall),
	},
	{
		Name:     "kprobe-legacy",
		Checks:   "a program runs at a kprobe that is an event in tracefs",
		Object:   "kprobe",
		Needs:    withModes,
		Refusals: atKprobe,
		Run:      kprobeBy(bpf.ProbeAttachModeLegacy),
	},
	{
		Name:     "kprobe-link",
		Checks:   "a program runs at a kprobe that is a perf event with a BPF link",
		Object:   "kprobe",
		Needs:    withModes,
		Refusals: atKprobe,
		Run:      kprobeBy(bpf.ProbeAttachModeLink),
	},
	{
		Name:     "kprobe-multi",
		Checks:   "a program runs when one of several kernel functions is entered",
		Refusals: atKprobeMulti,
		Run:      selftest.One((*bpf.BPFProg).AttachGeneric, selftest.Syscall),
	},
	{
		Name:     "kprobe-multi-opts",
		Checks:   "a program runs when one of several functions, given by name or address, is entered, and reads its cookie",
		Refusals: atKprobeMulti,
		Run:      kprobeMultiOpts,
	},
	{
		Name:     "kprobe-offset",
		Checks:   "a program runs at a kernel instruction, given by its address or by a function and an offset",
		Refusals: atKprobe,
		Run:      kprobeOffset,
	},
	{
		Name:     "kprobe-perf",
		Checks:   "a program runs at a kprobe that is a perf event without a link",
		Object:   "kprobe",
		Needs:    withModes,
		Refusals: atKprobe,
		Run:      kprobeBy(bpf.ProbeAttachModePerf),
	},
	{
		Name:   "kprobe-session",
		Checks: "a program runs when a kernel function is entered and when it returns",
		Needs:  []selftest.Need{selftest.Libbpf(1, 5)},
		// Linux before 6.10 doesn't have this attach type.
		Refusals: selftest.Refusals{selftest.Attaching: {selftest.NoKprobes, syscall.EOPNOTSUPP, syscall.EINVAL}},
		Run: calls(2, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachKprobeMultiOpts(function, bpf.KprobeMultiOpts{Session: true})
		}, selftest.Syscall),
	},
	{
		Name:     "kretprobe",
		Checks:   "a program runs when a kernel function returns, in each attach mode, and reads the result",
		Needs:    withModes,
		Refusals: atKprobe,
		Run:      kretprobe,
	},
	{
		Name:     "kretprobe-multi",
		Checks:   "a program runs when one of several kernel functions returns, and reads the result",
		Refusals: atKprobeMulti,
		Run: selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachKprobeMultiOpts("*_sys_getpgid", bpf.KprobeMultiOpts{Retprobe: true})
		}, selftest.FailingSyscall),
	},
	{
		Name:     "kretsyscall",
		Checks:   "a program runs when a system call returns, and reads the result",
		Refusals: atKprobe,
		Run:      selftest.One(ksyscall(bpf.KsyscallOpts{Retprobe: true}), selftest.FailingSyscall),
	},
	{
		Name:     "ksyscall",
		Checks:   "a program runs when a system call is entered, whatever the architecture's name of its function is",
		Refusals: atKprobe,
		Run:      selftest.One((*bpf.BPFProg).AttachGeneric, selftest.Syscall),
	},
	{
		Name:     "ksyscall-cookie",
		Checks:   "a program at a system call reads its cookie",
		Refusals: atKprobe,
		Run:      selftest.One(ksyscall(bpf.KsyscallOpts{Cookie: selftest.Cookie}), selftest.Syscall),
	},
	{
		Name:   "uprobe",
		Checks: "a program runs when a function of a process is entered",
		Run: atFunction(func(prog *bpf.BPFProg, pid int, path string, offset uint64) (*bpf.BPFLink, error) {
			return prog.AttachUprobe(pid, path, offset)
		}),
	},
	{
		Name:   "uprobe-cookie",
		Checks: "a program at a uprobe reads its cookie",
		Run: atFunction(func(prog *bpf.BPFProg, pid int, path string, offset uint64) (*bpf.BPFLink, error) {
			return prog.AttachUprobeWithOpts(pid, path, offset, selftest.Cookie)
		}),
	},
	{
		Name:   "uprobe-legacy",
		Checks: "a program runs at a uprobe that is an event in tracefs",
		Object: "uprobe",
		Needs:  withModes,
		Run:    uprobeBy(bpf.ProbeAttachModeLegacy),
	},
	{
		Name:   "uprobe-link",
		Checks: "a program runs at a uprobe that is a perf event with a BPF link",
		Object: "uprobe",
		Needs:  withModes,
		Run:    uprobeBy(bpf.ProbeAttachModeLink),
	},
	{
		Name:     "uprobe-multi",
		Checks:   "a program runs when one of several functions is entered, and reads the function's cookie",
		Needs:    []selftest.Need{selftest.Libbpf(1, 3)},
		Refusals: atUprobeMulti,
		Run:      uprobeMulti,
	},
	{
		Name:   "uprobe-name",
		Checks: "a program runs when a function that libbpf found by its name is entered",
		Object: "uprobe",
		Run: atFunction(func(prog *bpf.BPFProg, pid int, path string, _ uint64) (*bpf.BPFLink, error) {
			return prog.AttachUprobeOpts(pid, path, 0, bpf.UprobeOpts{FuncName: "selftest_function"})
		}),
	},
	{
		Name:   "uprobe-perf",
		Checks: "a program runs at a uprobe that is a perf event without a link",
		Object: "uprobe",
		Needs:  withModes,
		Run:    uprobeBy(bpf.ProbeAttachModePerf),
	},
	{
		Name:     "uprobe-session",
		Checks:   "a program runs when functions are entered, and when they return",
		Needs:    []selftest.Need{selftest.Libbpf(1, 6)},
		Refusals: selftest.Refusals{selftest.Attaching: {syscall.EINVAL}}, // before Linux 6.13
		Run: calls(4, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachUprobeMultiOpts(os.Getpid(), "/proc/self/exe", "selftest_*function", bpf.UprobeMultiOpts{Session: true})
		}, selftest.CallFunction),
	},
	{
		Name:   "uretprobe",
		Checks: "a program runs when a function of a process returns, and reads its result and the cookie",
		Run:    uretprobe,
	},
	{
		Name:     "uretprobe-multi",
		Checks:   "a program runs when one of several functions returns, and reads the function's result and cookie",
		Needs:    []selftest.Need{selftest.Libbpf(1, 3)},
		Refusals: atUprobeMulti,
		Run:      uretprobeMulti,
	},
	{
		Name:   "usdt",
		Checks: "a program runs at a static tracepoint of a process and reads its argument",
		Run: atFunction(func(prog *bpf.BPFProg, pid int, path string, _ uint64) (*bpf.BPFLink, error) {
			return prog.AttachUSDT(pid, path, "libbpfgo", "selftest")
		}),
	},
	{
		Name:   "usdt-cookie",
		Checks: "a program at a static tracepoint of a process reads its cookie",
		Run: atFunction(func(prog *bpf.BPFProg, pid int, path string, _ uint64) (*bpf.BPFLink, error) {
			return prog.AttachUSDTOpts(pid, path, "libbpfgo", "selftest", bpf.USDTOpts{Cookie: selftest.Cookie})
		}),
	},
}}

var (
	withModes = []selftest.Need{selftest.Libbpf(1, 2)}
	atKprobe  = selftest.Refusals{selftest.Attaching: {selftest.NoKprobes}}
	// Linux before 5.18, and before 6.13 on arm64.
	atKprobeMulti = selftest.Refusals{selftest.Attaching: {selftest.NoKprobes, syscall.EOPNOTSUPP}}
	// Linux before 6.6.
	atUprobeMulti = selftest.Refusals{selftest.Attaching: {syscall.EINVAL}}
)

// calls returns the function of a case that calls [selftest.Test.Calls].
func calls(n uint64, attach selftest.Attach, provoke func() error) func(*selftest.Test) error {
	return func(t *selftest.Test) error { return t.Calls(n, attach, provoke) }
}
