package main

import (
	"fmt"

	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

// A bound is what a quantity of one form by that of another is meant to be: at least or at most.
type bound struct {
	quantity    string
	of, by      form
	least, most float64
}

var quantities = map[string]func(peer.Result) float64{
	"time":        func(r peer.Result) float64 { return r.Nanoseconds },
	"allocations": func(r peer.Result) float64 { return r.Allocations },
	"p99":         func(r peer.Result) float64 { return r.P99 },
}

var (
	readBounds = []bound{
		{quantity: "time", of: form{"here", "Records"}, by: c, most: 1.8},
		{quantity: "time", of: form{"here", "ReadBatch"}, by: c, most: 1.8},
		{quantity: "time", of: form{"cilium", "ReadInto"}, by: form{"here", "Records"}, least: 3.5},
		{quantity: "time", of: form{"cilium", "ReadInto"}, by: form{"here", "ReadBatch"}, least: 3.5},
		{quantity: "time", of: form{"cilium", "ReadInto"}, by: form{"here", "ReadInto"}, least: 1.5},
		{quantity: "time", of: form{"cilium", "Read"}, by: form{"here", "Read"}, least: 2},
		{quantity: "time", of: form{"libbpfgo", "channel"}, by: form{"here", "channel"}, least: 1.8},
		{quantity: "allocations", of: form{"here", "Read"}, by: form{"cilium", "Read"}, most: 1.0 / 16},
	}
	wakeBounds = []bound{
		{quantity: "p99", of: form{"here", "Read"}, by: form{"cilium", "Read"}, most: 1},
		{quantity: "p99", of: form{"here", "channel"}, by: form{"cilium", "Read"}, most: 1},
	}
	writeBounds = []bound{
		{quantity: "time", of: form{"libbpfgo", "channel"}, by: form{"here", "Write"}, least: 5},
		{quantity: "time", of: form{"here", "WriteBatch"}, by: c, most: 2},
	}
)

// summary prints what was measured by what is meant to be.
func summary(full, woken map[string]map[form]peer.Result, written map[form]peer.Result) {
	fmt.Printf("\n## Against the bounds\n\n")
	fmt.Printf("What this library is meant to reach: times and allocations at 64 bytes, in buffers that were filled before and in\n")
	fmt.Printf("the user ring buffer, p99 from sending a single event to having it.\n\n")
	fmt.Printf("| | of | by that of | measured | bound | reached |\n|---|---|---|---|---|---|\n")
	for _, kind := range kinds {
		compare(buffers[kind], readBounds, full[kind])
		compare(buffers[kind], wakeBounds, woken[kind])
	}
	compare("User ring buffer", writeBounds, written)
}

func compare(buffer string, bounds []bound, results map[form]peer.Result) {
	for _, b := range bounds {
		quantity := quantities[b.quantity]
		ratio := quantity(results[b.of]) / quantity(results[b.by])
		limit, reached := fmt.Sprintf("≥ %.3g", b.least), ratio >= b.least
		if b.most > 0 {
			limit, reached = fmt.Sprintf("≤ %.3g", b.most), ratio <= b.most
		}
		answer := map[bool]string{true: "yes", false: "**no**"}[reached]
		fmt.Printf("| %s, %s | %v | %v | %.4g | %s | %s |\n", buffer, b.quantity, b.of, b.by, ratio, limit, answer)
	}
}
