// Package tracing has the selftests of programs at trampolines, security hooks, tracepoints and perf events.
package tracing

import (
	"embed"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of programs at trampolines, security hooks, tracepoints and perf events.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:     "fentry",
		Checks:   "a program runs when a kernel function is entered, and reads its argument",
		Refusals: atTrampoline,
		Run:      atTestFunction,
	},
	{
		Name:     "fentry-cookie",
		Checks:   "a program at a kernel function reads its cookie",
		Refusals: atTrampoline,
		Run:      selftest.One(trace(bpf.TraceOpts{Cookie: selftest.Cookie}), selftest.Syscall),
	},
	{
		Name:     "fexit",
		Checks:   "a program runs when a kernel function returns, and reads argument and result",
		Refusals: atTrampoline,
		Run:      atTestFunction,
	},
	{
		Name:     "fmod-ret",
		Checks:   "a program's return value replaces a call of a kernel function",
		Refusals: atTrampoline,
		Run: func(t *selftest.Test) error {
			return t.Denied("prog", trace(bpf.TraceOpts{}), selftest.Syscall, syscall.EACCES)
		},
	},
	{
		Name:     "freplace",
		Checks:   "a program replaces a function of another program",
		Refusals: selftest.Refusals{selftest.Loading: {selftest.Locked}},
		Run:      freplace,
	},
	{
		Name:     "fsession",
		Checks:   "a program runs when a kernel function is entered and when it returns",
		Refusals: selftest.Refusals{selftest.Loading: {selftest.Locked, syscall.EINVAL}}, // before Linux 7.0
		Run:      func(t *selftest.Test) error { return t.Calls(2, trace(bpf.TraceOpts{}), selftest.Syscall) },
	},
	{
		Name:     "lsm",
		Checks:   "a program at a security hook denies opening a file",
		Needs:    []selftest.Need{selftest.LSM},
		Refusals: atTrampoline,
		Run:      lsm,
	},
	{
		Name:     "lsm-sleepable",
		Checks:   "a sleepable program at a security hook reads the memory of the process",
		Needs:    []selftest.Need{selftest.LSM},
		Refusals: atTrampoline,
		Run:      lsmSleepable,
	},
	{
		Name:   "perf-event",
		Checks: "a program runs at each sample of a perf event, a clock of this thread",
		Run:    selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) { return selftest.Clock(prog.AttachPerfEvent) }, selftest.Work),
	},
	{
		Name:   "perf-event-cookie",
		Checks: "a program at the samples of a perf event reads its cookie",
		Run: selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return selftest.Clock(func(fd int) (*bpf.BPFLink, error) {
				return prog.AttachPerfEventOpts(fd, bpf.PerfEventOpts{Cookie: selftest.Cookie})
			})
		}, selftest.Work),
	},
	{
		Name:     "raw-tp-cookie",
		Checks:   "a program at a raw tracepoint reads its cookie",
		Needs:    []selftest.Need{selftest.Libbpf(1, 4)},
		Refusals: selftest.Refusals{selftest.Loading: {syscall.EINVAL}}, // before Linux 6.10
		Run: selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachRawTracepointOpts("sys_enter", bpf.RawTracepointOpts{Cookie: selftest.Cookie})
		}, selftest.Syscall),
	},
	{
		Name:   "raw-tracepoint",
		Checks: "a program runs at a raw tracepoint",
		Run: selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachRawTracepoint("sys_enter")
		}, selftest.Syscall),
	},
	{
		Name:   "tp-btf",
		Checks: "a program runs at a raw tracepoint with BTF",
		Run:    selftest.One((*bpf.BPFProg).AttachGeneric, selftest.Syscall),
	},
	{
		Name:   "tracepoint",
		Checks: "a program runs at a tracepoint",
		Run: selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachTracepoint("syscalls", "sys_enter_getpgid")
		}, selftest.Syscall),
	},
	{
		Name:   "tracepoint-cookie",
		Checks: "a program at a tracepoint reads its cookie",
		Run: selftest.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachTracepointOpts("syscalls", "sys_enter_getpgid", bpf.TracepointOpts{Cookie: selftest.Cookie})
		}, selftest.Syscall),
	},
}}

// atTrampoline lists the refusals of programs that run at trampolines: a locked kernel, and ENOTSUPP on arm64 before
// Linux 6.4.
var atTrampoline = selftest.Refusals{
	selftest.Loading:   {selftest.Locked, selftest.ENOTSUPP},
	selftest.Attaching: {selftest.ENOTSUPP},
}

func trace(opts bpf.TraceOpts) selftest.Attach {
	return func(prog *bpf.BPFProg) (*bpf.BPFLink, error) { return prog.AttachTraceOpts(opts) }
}
