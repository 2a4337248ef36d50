package main

import (
	"fmt"

	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

// A bound is what a quantity of one form, by that of another if there is one, is meant to be at most or, if
// least, at least.
type bound struct {
	quantity string
	of, by   form
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
	// What the process of several readers takes that do nothing; Go's runtime itself takes some.
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

// summary prints what was measured by what is meant to be.
func summary(full, woken, waited map[string]map[form]peer.Result, written map[form]peer.Result) {
	fmt.Printf("\n## Against the bounds\n\n")
	fmt.Printf("What this library is meant to reach: times and allocations at 64 bytes, in buffers that were filled before and in\n")
	fmt.Printf("the user ring buffer, p99 from sending a single event to having it; threads, processor time and allocations of\n")
	fmt.Printf("readers that wait, and of their process.\n\n")
	fmt.Printf("| | of | by that of | measured | bound | reached |\n|---|---|---|---|---|---|\n")
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
