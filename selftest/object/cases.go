// Package object has the selftests of objects: opening and loading them, and running and attaching their programs.
package object

import (
	"embed"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of objects: opening and loading them, and running and attaching their programs.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "error-paths",
		Checks: "each wrong input is an error with the right errno",
		Run:    errorPaths,
	},
	{
		Name:   "features",
		Checks: "the feature probes report what the kernel supports, and reject what no kernel supports",
		Run:    features,
	},
	{
		Name:   "generic",
		Checks: "all programs of an object are attached by their sections and detached, except one with autoattach off",
		Run:    generic,
	},
	{
		Name:   "globals",
		Checks: "a program reads global variables set before the load, and the process reads the ones that it writes",
		Run:    globals,
	},
	{
		Name:   "kconfig",
		Checks: "a program reads values of the kernel configuration that was given when the object was opened",
		Run:    kconfig,
	},
	{
		Name:   "link-pin",
		Checks: "a pinned link outlives its module and ends when the pin is removed",
		Needs:  []selftest.Need{selftest.BPFFS},
		Run:    linkPin,
	},
	{
		Name:   "link-update",
		Checks: "a link's program is replaced by another one, without a gap",
		Needs:  []selftest.Need{selftest.Network},
		Run:    linkUpdate,
	},
	{
		Name:   "log-callbacks",
		Checks: "libbpf's messages go to the callback and not to stderr, except those that a filter drops",
		Object: "features",
		Run:    logCallbacks,
	},
	{
		Name:   "modules",
		Checks: "many modules work at once, each with its own maps, and leave no descriptors open",
		Object: "link-pin",
		Run:    modules,
	},
	{
		Name:   "prog-autoload",
		Checks: "the load of a rejected program can be disabled; otherwise the error has the verifier's log",
		Run:    progAutoload,
	},
	{
		Name:   "prog-run",
		Checks: "a test run passes a packet to a program and returns the changed packet",
		Run:    progRun,
	},
	{
		Name:     "prog-run-checksum",
		Checks:   "a test run detects that a program left a packet's checksum wrong",
		Refusals: selftest.Refusals{selftest.Using: {syscall.EINVAL}}, // before Linux 6.11
		Run:      progRunChecksum,
	},
	{
		Name:     "sched-ext",
		Checks:   "a scheduler of BPF programs schedules this process",
		Refusals: selftest.Refusals{selftest.Loading: {syscall.ESRCH}}, // the kernel has no sched_ext
		Run:      schedExt,
	},
	{
		Name:   "struct-ops",
		Checks: "a TCP congestion control of BPF programs is registered and used by a connection",
		Needs:  []selftest.Need{selftest.Network},
		Refusals: selftest.Refusals{
			selftest.Loading:   {selftest.ENOTSUPP, syscall.EINVAL},
			selftest.Attaching: {selftest.ENOTSUPP, syscall.EOPNOTSUPP},
		},
		Run: structOps,
	},
	{
		Name:   "struct-ops-link",
		Checks: "a TCP congestion control of BPF programs is replaced by another one",
		Needs:  []selftest.Need{selftest.Libbpf(1, 2), selftest.Network},
		Refusals: selftest.Refusals{
			selftest.Loading: {selftest.ENOTSUPP, syscall.EINVAL}, // before Linux 6.4
		},
		Run: structOpsLink,
	},
	{
		Name:   "syscall-prog",
		Checks: "a program that makes system calls runs, and reads and changes its context",
		Run:    syscallProg,
	},
	{
		Name:   "token",
		Checks: "an unprivileged process loads a program with a token that a privileged process has delegated to it",
		Needs:  []selftest.Need{selftest.Libbpf(1, 4)},
		Refusals: selftest.Refusals{
			selftest.Preparing: {unix.EPERM, unix.ENOSPC},
			selftest.Using:     {unix.EPERM}, // before Linux 6.9
		},
		Run: token,
	},
}}
