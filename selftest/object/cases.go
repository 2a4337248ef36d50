// Package object has selftests of objects: opening, loading, running and linking what is in them.
package object

import (
	"embed"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are selftests of objects: opening, loading, running and linking what is in them.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "error-paths",
		Checks: "each wrong input is an error that tells what is wrong",
		Run:    errorPaths,
	},
	{
		Name:   "features",
		Checks: "the probes of the kernel know what it has, and what no kernel has",
		Run:    features,
	},
	{
		Name:   "generic",
		Checks: "all programs of an object are attached by their sections, except one that is left out, and detached",
		Run:    generic,
	},
	{
		Name:   "globals",
		Checks: "the program sees global variables as they are set before the load, and the process what the program writes",
		Run:    globals,
	},
	{
		Name:   "kconfig",
		Checks: "a program sees the values of a kernel configuration that the process names",
		Run:    kconfig,
	},
	{
		Name:   "link-pin",
		Checks: "a pinned link outlives its module, and ends when it is removed",
		Needs:  []selftest.Need{selftest.BPFFS},
		Run:    linkPin,
	},
	{
		Name:   "link-update",
		Checks: "a program is put in the place of another one, without a gap",
		Needs:  []selftest.Need{selftest.Network},
		Run:    linkUpdate,
	},
	{
		Name:   "log-callbacks",
		Checks: "what libbpf has to say comes to the callback, except what a filter drops, and not to stderr",
		Object: "features",
		Run:    logCallbacks,
	},
	{
		Name:   "modules",
		Checks: "many modules work at once, each with maps of its own, and leave nothing behind",
		Object: "link-pin",
		Run:    modules,
	},
	{
		Name:   "prog-autoload",
		Checks: "a program that the kernel refuses can be left out; the error has the verifier's log if it isn't",
		Run:    progAutoload,
	},
	{
		Name:   "prog-run",
		Checks: "a program gets a packet that the process has made, and gives it back changed",
		Run:    progRun,
	},
	{
		Name:     "prog-run-checksum",
		Checks:   "running a program tells whether it has left the packet's checksum wrong",
		Refusals: selftest.Refusals{selftest.Using: {syscall.EINVAL}}, // before Linux 6.11
		Run:      progRunChecksum,
	},
	{
		Name:     "sched-ext",
		Checks:   "a scheduler of BPF programs runs this process",
		Refusals: selftest.Refusals{selftest.Loading: {syscall.ESRCH}}, // the kernel has no such schedulers
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
		Checks: "a TCP congestion control of BPF programs is put in the place of another one",
		Needs:  []selftest.Need{selftest.Libbpf(1, 2), selftest.Network},
		Refusals: selftest.Refusals{
			selftest.Loading: {selftest.ENOTSUPP, syscall.EINVAL}, // before Linux 6.4
		},
		Run: structOpsLink,
	},
	{
		Name:   "syscall-prog",
		Checks: "a program that makes system calls is run, gets its context and changes it",
		Run:    syscallProg,
	},
	{
		Name:   "token",
		Checks: "a process without privileges, in a user namespace, loads a program by a token that a privileged one has made",
		Needs:  []selftest.Need{selftest.Libbpf(1, 4)},
		Refusals: selftest.Refusals{
			selftest.Preparing: {unix.EPERM, unix.ENOSPC},
			selftest.Using:     {unix.EPERM}, // before Linux 6.9
		},
		Run: token,
	},
}}
