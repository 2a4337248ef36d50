package main

import (
	"fmt"

	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

// A bound limits a form's measurement, or its ratio to another form's. The limit is a maximum, or a minimum if least is
// set.
type bound struct {
	quantity string // a key of quantities
	of, by   form   // of divided by by, if that isn't empty
	limit    float64
	least    bool
}

var quantities = map[string]func(peer.Result) float64{
	"time":        func(r peer.Result) float64 { return r.Nanoseconds },
	"allocations": func(r peer.Result) float64 { return r.Allocations },
	"p99":         func(r peer.Result) float64 { return r.P99 },

	"threads":        func(r peer.Result) float64 { return float64(r.Threads) },
	"processor time": func(r peer.Result) float64 { return r.CPU },
}

var (
	readBounds = []bound{
		{quantity: "time", of: form{"here", "Records"}, by: c, limit: 1.8},
		{quantity: "time", of: form{"here", "ReadBatch"}, by: c, limit: 1.8},
		{quantity: "time", of: form{"cilium", "ReadInto"}, by: form{"here", "Records"}, limit: 3.5, least: true},
		{quantity: "time", of: form{"cilium", "ReadInto"}, by: form{"here", "ReadBatch"}, limit: 3.5, least: true},
		{quantity: "time", of: form{"cilium", "ReadInto"}, by: form{"here", "ReadInto"}, limit: 1.5, least: true},
		{quantity: "time", of: form{"cilium", "Read"}, by: form{"here", "Read"}, limit: 2, least: true},
		{quantity: "time", of: form{"libbpfgo", "channel"}, by: form{"here", "channel"}, limit: 1.8, least: true},
		{quantity: "allocations", of: form{"here", "Read"}, limit: 1.0 / 16},
	}
	wakeBounds = []bound{
		{quantity: "p99", of: form{"here", "Read"}, by: form{"cilium", "Read"}, limit: 1},
		{quantity: "p99", of: form{"here", "channel"}, by: form{"cilium", "Read"}, limit: 1},
	}
	// A process whose readers wait. The limits above 0 are for Go's runtime, which uses some time and memory by itself.
	idleBounds = []bound{
		{quantity: "threads", of: form{"here", "Read"}},
		{quantity: "threads", of: form{"here", "channel"}},
		{quantity: "processor time", of: form{"here", "Read"}, limit: 1e-4},
		{quantity: "processor time", of: form{"here", "channel"}, limit: 1e-4},
		{quantity: "allocations", of: form{"here", "Read"}, limit: 2},
		{quantity: "allocations", of: form{"here", "channel"}, limit: 2},
	}
	writeBounds = []bound{
		{quantity: "time", of: form{"libbpfgo", "channel"}, by: form{"here", "Write"}, limit: 5, least: true},
		{quantity: "time", of: form{"here", "WriteBatch"}, by: c, limit: 2},
	}
)

// summary prints a table that compares the measurements with the bounds.
func summary(full, woken, waited map[string]map[form]peer.Result, written map[form]peer.Result) {
	fmt.Printf("\n## Against the bounds\n\n")
	fmt.Printf("The goals of this library. Time and allocations are for events of 64 bytes in buffers filled in\n")
	fmt.Printf("advance, and for the user ring buffer. p99 is the latency of a single event, from sending to reading.\n")
	fmt.Printf("The rows \"waiting\" are for a process whose readers wait: its additional threads, its processor time\n")
	fmt.Printf("and its allocations.\n\n")
	fmt.Printf("| | of | divided by | measured | bound | reached |\n|---|---|---|---|---|---|\n")
	for _, kind := range kinds {
		compare(buffers[kind], readBounds, full[kind])
		compare(buffers[kind], wakeBounds, woken[kind])
		compare(buffers[kind]+", waiting", idleBounds, waited[kind])
	}
	compare("User ring buffer", writeBounds, written)
}

func compare(buffer string, bounds []bound, results map[form]peer.Result) {
	for _, b := range bounds {
		quantity := quantities[b.quantity]
		measured, by := quantity(results[b.of]), "–"
		if b.by != (form{}) {
			measured, by = measured/quantity(results[b.by]), b.by.String()
		}
		limit, reached := fmt.Sprintf("≤ %.3g", b.limit), measured <= b.limit
		if b.least {
			limit, reached = fmt.Sprintf("≥ %.3g", b.limit), measured >= b.limit
		}
		answer := map[bool]string{true: "yes", false: "**no**"}[reached]
		fmt.Printf("| %s, %s | %v | %s | %.4g | %s | %s |\n", buffer, b.quantity, b.of, by, measured, limit, answer)
	}
}
