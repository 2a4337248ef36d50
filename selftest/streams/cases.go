// Package streams has selftests of ring buffers, perf buffers and user ring buffers.
package streams

import (
	"embed"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed *.bpf.o
var objects embed.FS

// Cases are selftests of ring buffers, perf buffers and user ring buffers.
var Cases = selftest.Subject{Objects: objects, Cases: []selftest.Case{
	{
		Name:   "perf-buffer",
		Checks: "each event of a perf buffer comes to the channel once, as soon as it is sent",
		Run:    perfBuffer,
	},
	{
		Name:   "perf-offline",
		Checks: "a perf buffer reads what came before a CPU was switched off, does without it, and has its events again after",
		Needs:  []selftest.Need{selftest.VM},
		Run:    perfOffline,
	},
	{
		Name:   "perf-reader",
		Checks: "events of a perf buffer come with their CPU, and that lost ones are counted",
		Run:    perfReader,
	},
	{
		Name:   "ringbuf",
		Checks: "records which a program sends for each system call of this process arrive, all of them and each once",
		Run:    ringbuf,
	},
	{
		Name:   "ringbuf-reader",
		Checks: "a reader of two rings gives the records of each in their order, in all its forms, and that deadlines end waits",
		Object: "ringbuf-two",
		Run:    ringbufReader,
	},
	{
		Name:   "ringbuf-two",
		Checks: "the records of two rings in one buffer come to their channels",
		Run:    ringbufTwo,
	},
	{
		Name:   "user-ringbuf",
		Checks: "samples of a user ring buffer come to a program in their order, however they are written",
		Needs:  []selftest.Need{selftest.Map(bpf.MapTypeUserRingbuf)},
		Run:    userRingbuf,
	},
}}
