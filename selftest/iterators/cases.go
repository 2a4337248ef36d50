// Package iterators has the selftests of BPF iterators over kernel objects.
package iterators

import (
	"embed"
	"syscall"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of BPF iterators over kernel objects.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "iter-bpf",
		Checks: "iterators visit the kernel's maps, programs, links and symbols, and find those of this process",
		Run:    bpfObjects,
	},
	{
		Name:   "iter-cgroup",
		Checks: "an iterator visits cgroups from one given by descriptor or id, in each order that the kernel supports",
		Needs:  []selftest.Need{selftest.Cgroup},
		Run:    cgroups,
	},
	{
		Name:     "iter-kmem-cache",
		Checks:   "an iterator visits the kernel's memory caches and finds some of the usual sizes",
		Refusals: selftest.Refusals{selftest.Loading: {syscall.ESRCH}}, // before Linux 6.13
		Run:      caches,
	},
	{
		Name:     "iter-map",
		Checks:   "an iterator visits the elements of the map given when it was attached",
		Refusals: selftest.Refusals{selftest.Loading: {selftest.Locked}},
		Run:      elements,
	},
	{
		Name:   "iter-task",
		Checks: "an iterator visits all tasks, or only those of one process or thread",
		Run:    tasks,
	},
	{
		Name:   "iter-tcp",
		Checks: "an iterator visits the TCP sockets of the network namespace",
		Needs:  []selftest.Need{selftest.Network},
		Run:    sockets,
	},
}}
