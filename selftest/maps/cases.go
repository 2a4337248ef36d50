// Package maps has selftests of each kind of map, and of what can be done with maps.
package maps

import (
	"embed"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are selftests of each kind of map, and of what can be done with maps.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:     "arena",
		Checks:   "a program and the process use the same memory",
		Refusals: selftest.Refusals{selftest.Loading: {syscall.EINVAL}}, // before Linux 6.9
		Run:      arena,
	},
	{
		Name:   "map-array",
		Checks: "an array map has all its elements from the beginning, and keeps them",
		Run:    array,
	},
	{
		Name:   "map-batch",
		Checks: "operations on many elements work, and tell how far they came",
		Run:    batch,
	},
	{
		Name:   "map-bloom",
		Checks: "a bloom filter knows what was put into it, and little else",
		Run:    bloom,
	},
	{
		Name:   "map-cgroup-array",
		Checks: "a program knows whether it runs for a process of the cgroup that the process has put into a map",
		Needs:  []selftest.Need{selftest.Cgroup},
		Run:    cgroupArray,
	},
	{
		Name:   "map-cgroup-storage",
		Checks: "the process reads and changes what a program stores with the cgroup that it is attached to, once and for each CPU",
		Needs:  []selftest.Need{selftest.Network, selftest.Cgroup},
		Run:    cgroupStorage,
	},
	{
		Name:   "map-cgrp-storage",
		Checks: "the process reads, by a descriptor of it, what a program stores with its cgroup, and the other way round",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeCgrpStorage), selftest.Cgroup},
		Run:    cgrpStorage,
	},
	{
		Name:     "map-cpu-flags",
		Checks:   "one value is written for all CPUs, and read and written for one of them",
		Refusals: selftest.Refusals{selftest.Using: {syscall.EINVAL}}, // before Linux 7.0
		Run:      cpuFlags,
	},
	{
		Name:   "map-devmap",
		Checks: "a program sends packets on to the interface or the CPU that the process has put into a map",
		Needs:  []selftest.Need{selftest.Network},
		Run:    devmap,
	},
	{
		Name:   "map-hash",
		Checks: "the process and a program see what the other one writes to a hash map",
		Run:    hash,
	},
	{
		Name:   "map-in-map",
		Checks: "a program finds maps in an array and a hash of maps, set before and after the load",
		Run:    inMap,
	},
	{
		Name:   "map-inode-storage",
		Checks: "the process reads, by a descriptor of it, what a program stores with a file, and the other way round",
		Needs:  []selftest.Need{selftest.LSM},
		Refusals: selftest.Refusals{
			selftest.Loading:   {selftest.Locked, selftest.ENOTSUPP},
			selftest.Attaching: {selftest.ENOTSUPP}, // arm64 before Linux 6.4
		},
		Run: inodeStorage,
	},
	{
		Name:   "map-insn-array",
		Checks: "the process learns from a map where the instructions of a program, which it has put into it, are after the load",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeInsnArray)},
		Run:    insnArray,
	},
	{
		Name:   "map-iterate",
		Checks: "an iterator gives each key once, also while elements are deleted",
		Run:    iterate,
	},
	{
		Name:   "map-low",
		Checks: "a map is made without an object, found by its id, and shared with a program",
		Run:    low,
	},
	{
		Name:   "map-lpm",
		Checks: "a trie finds the longest prefix",
		Run:    lpm,
	},
	{
		Name:   "map-lru",
		Checks: "a full LRU hash map lets go of old elements, and not of those in use",
		Run:    lru,
	},
	{
		Name:   "map-percpu",
		Checks: "an element has a value for each CPU, in each kind of map that has such elements",
		Run:    percpu,
	},
	{
		Name:   "map-pin",
		Checks: "a pinned map keeps its elements, and is found by its path, also by another module that reuses it",
		Needs:  []selftest.Need{selftest.BPFFS},
		Run:    pin,
	},
	{
		Name:   "map-prog-array",
		Checks: "a program goes on in another one that the process has put into an array",
		Run:    progArray,
	},
	{
		Name:   "map-queue-stack",
		Checks: "a queue returns what was pushed first, a stack what was pushed last",
		Run:    queueStack,
	},
	{
		Name:   "map-reuse",
		Checks: "two modules share a map by its descriptor",
		Run:    reuse,
	},
	{
		Name:   "map-reuseport",
		Checks: "a program gives a packet to the socket, among those of one port, that the process has put into a map",
		Needs:  []selftest.Need{selftest.Network},
		Run:    reuseport,
	},
	{
		Name:   "map-settings",
		Checks: "a map has the size and the value size that are set before the load, and can be left out",
		Run:    settings,
	},
	{
		Name:   "map-sk-storage",
		Checks: "the process reads, by its descriptor, what a program stores with a socket, and the other way round",
		Needs:  []selftest.Need{selftest.Cgroup},
		Run:    skStorage,
	},
	{
		Name:   "map-sockhash",
		Checks: "a program sends what comes in for one socket on to another, which the process has put into a hash map",
		Needs:  []selftest.Need{selftest.Network},
		Run:    sockhash,
	},
	{
		Name:   "map-spin-lock",
		Checks: "a value with a spin lock is read and written whole",
		Run:    spinLock,
	},
	{
		Name:   "map-stack-trace",
		Checks: "the process reads the stack that a program has taken of it",
		Run:    stackTrace,
	},
	{
		Name:   "map-task-storage",
		Checks: "the process reads, by a descriptor of itself, what a program stores with its task, and the other way round",
		Run:    taskStorage,
	},
	{
		Name:   "map-xsk",
		Checks: "a program sends packets on to the XDP socket that the process has put into a map",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeXSKMap)},
		Run:    xsk,
	},
}}
