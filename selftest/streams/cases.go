// Package streams has the selftests of ring buffers, perf buffers and user ring buffers.
package streams

import (
	"embed"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are the selftests of ring buffers, perf buffers and user ring buffers.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "perf-buffer",
		Checks: "a perf buffer sends each event to the channel once, as soon as it arrives",
		Run:    perfBuffer,
	},
	{
		Name:   "perf-offline",
		Checks: "a perf buffer works while a CPU is offline, and delivers the CPU's events from before and after",
		Needs:  []selftest.Need{selftest.VM},
		Run:    perfOffline,
	},
	{
		Name:   "perf-reader",
		Checks: "a reader of a perf buffer returns the CPU of each event and the number of lost events",
		Run:    perfReader,
	},
	{
		Name:   "ringbuf",
		Checks: "each record that a program sends to a ring buffer arrives exactly once",
		Run:    ringbuf,
	},
	{
		Name:   "ringbuf-reader",
		Checks: "all read methods of a reader of two rings return the records of each ring in order, and deadlines end waits",
		Object: "ringbuf-two",
		Run:    ringbufReader,
	},
	{
		Name:   "ringbuf-two",
		Checks: "a ring buffer with two rings sends the records of each ring to its channel",
		Run:    ringbufTwo,
	},
	{
		Name:   "user-ringbuf",
		Checks: "a program receives the samples of a user ring buffer in order, with every way of writing them",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeUserRingbuf)},
		Run:    userRingbuf,
	},
}}
