// Package iterators has selftests of iterators over what the kernel has.
package iterators

import (
	"embed"
	"syscall"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are selftests of iterators over what the kernel has.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "iter-bpf",
		Checks: "iterators go over the kernel's maps, programs, links and symbols, and find those of this process",
		Run:    bpfObjects,
	},
	{
		Name:   "iter-cgroup",
		Checks: "an iterator goes over cgroups from one that is known by descriptor or id, in each of the orders that the kernel knows",
		Needs:  []selftest.Need{selftest.Cgroup},
		Run:    cgroups,
	},
	{
		Name:     "iter-kmem-cache",
		Checks:   "an iterator goes over the kernel's caches of memory, and finds some of the usual sizes",
		Refusals: selftest.Refusals{selftest.Loading: {syscall.ESRCH}}, // before Linux 6.13
		Run:      caches,
	},
	{
		Name:     "iter-map",
		Checks:   "an iterator goes over the elements of the map that it is attached with",
		Refusals: selftest.Refusals{selftest.Loading: {selftest.Locked}},
		Run:      elements,
	},
	{
		Name:   "iter-task",
		Checks: "an iterator goes over all tasks, or over those of one process or thread",
		Run:    tasks,
	},
	{
		Name:   "iter-tcp",
		Checks: "an iterator goes over the TCP sockets of the network namespace",
		Needs:  []selftest.Need{selftest.Network},
		Run:    sockets,
	},
}}
