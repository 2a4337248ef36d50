// Package maps has the selftests of each type of map, and of operations on maps.
package maps

import (
	"embed"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of each type of map, and of operations on maps.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:     "arena",
		Checks:   "a program and the process share the memory of an arena",
		Refusals: selftest.Refusals{selftest.Loading: {syscall.EINVAL}}, // before Linux 6.9
		Run:      arena,
	},
	{
		Name:   "map-array",
		Checks: "an array map has all its elements from the start, and they can't be deleted",
		Run:    array,
	},
	{
		Name:   "map-batch",
		Checks: "batch operations work, and return how many elements they processed",
		Run:    batch,
	},
	{
		Name:   "map-bloom",
		Checks: "a Bloom filter finds the values that were added, and few others",
		Run:    bloom,
	},
	{
		Name:   "map-cgroup-array",
		Checks: "a program checks whether it runs for a process of a cgroup that is in a map",
		Needs:  []selftest.Need{selftest.Cgroup},
		Run:    cgroupArray,
	},
	{
		Name:   "map-cgroup-storage",
		Checks: "the process reads and changes a program's storage of the cgroup that it is attached to, shared and per CPU",
		Needs:  []selftest.Need{selftest.Network, selftest.Cgroup},
		Run:    cgroupStorage,
	},
	{
		Name:   "map-cgrp-storage",
		Checks: "a program and the process read each other's values in the storage of a cgroup",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeCgrpStorage), selftest.Cgroup},
		Run:    cgrpStorage,
	},
	{
		Name:     "map-cpu-flags",
		Checks:   "a value of a per-CPU map is written for all CPUs at once, and read and written for a single CPU",
		Refusals: selftest.Refusals{selftest.Using: {syscall.EINVAL}}, // before Linux 7.0
		Run:      cpuFlags,
	},
	{
		Name:   "map-devmap",
		Checks: "a program redirects packets to an interface or a CPU that is in a map",
		Needs:  []selftest.Need{selftest.Network},
		Run:    devmap,
	},
	{
		Name:   "map-hash",
		Checks: "the process and a program read each other's values in a hash map",
		Run:    hash,
	},
	{
		Name:   "map-in-map",
		Checks: "a program finds the inner maps of an array and a hash of maps that were set before and after the load",
		Run:    inMap,
	},
	{
		Name:   "map-inode-storage",
		Checks: "a program and the process read each other's values in the storage of a file",
		Needs:  []selftest.Need{selftest.LSM},
		Refusals: selftest.Refusals{
			selftest.Loading:   {selftest.Locked, selftest.ENOTSUPP},
			selftest.Attaching: {selftest.ENOTSUPP}, // arm64 before Linux 6.4
		},
		Run: inodeStorage,
	},
	{
		Name:   "map-insn-array",
		Checks: "a map of instruction numbers has the positions of these instructions after the load",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeInsnArray)},
		Run:    insnArray,
	},
	{
		Name:   "map-iterate",
		Checks: "an iterator returns each key once, also while elements are deleted",
		Run:    iterate,
	},
	{
		Name:   "map-low",
		Checks: "a map is created without an object, found by its id, and shared with a program",
		Run:    low,
	},
	{
		Name:   "map-lpm",
		Checks: "a lookup in a trie finds the longest matching prefix",
		Run:    lpm,
	},
	{
		Name:   "map-lru",
		Checks: "a full LRU hash map drops old elements, and keeps those in use",
		Run:    lru,
	},
	{
		Name:   "map-percpu",
		Checks: "an element of each type of per-CPU map has a value for each CPU",
		Run:    percpu,
	},
	{
		Name:   "map-pin",
		Checks: "a pinned map keeps its elements, and other modules reuse it by its path",
		Needs:  []selftest.Need{selftest.BPFFS},
		Run:    pin,
	},
	{
		Name:   "map-prog-array",
		Checks: "a program makes a tail call to a program in an array",
		Run:    progArray,
	},
	{
		Name:   "map-queue-stack",
		Checks: "a queue returns the value that was pushed first, a stack the one that was pushed last",
		Run:    queueStack,
	},
	{
		Name:   "map-reuse",
		Checks: "a module reuses a map of another module by its descriptor",
		Run:    reuse,
	},
	{
		Name:   "map-reuseport",
		Checks: "a program selects, from a map, which of the sockets of a port receives a packet",
		Needs:  []selftest.Need{selftest.Network},
		Run:    reuseport,
	},
	{
		Name:   "map-settings",
		Checks: "a map has the number of elements and the value size set before the load, and its creation can be disabled",
		Run:    settings,
	},
	{
		Name:   "map-sk-storage",
		Checks: "a program and the process read each other's values in the storage of a socket",
		Needs:  []selftest.Need{selftest.Cgroup},
		Run:    skStorage,
	},
	{
		Name:   "map-sockhash",
		Checks: "a program redirects data from the socket that received it to a socket in a hash map",
		Needs:  []selftest.Need{selftest.Network},
		Run:    sockhash,
	},
	{
		Name:   "map-spin-lock",
		Checks: "a value with a spin lock is read and written atomically",
		Run:    spinLock,
	},
	{
		Name:   "map-stack-trace",
		Checks: "the process reads a stack trace that a program has stored",
		Run:    stackTrace,
	},
	{
		Name:   "map-task-storage",
		Checks: "a program and the process read each other's values in the storage of a task",
		Run:    taskStorage,
	},
	{
		Name:   "map-xsk",
		Checks: "a program redirects packets to an XDP socket that is in a map",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeXSKMap)},
		Run:    xsk,
	},
}}
