// Bench compares the libraries on the same work. It runs a process of each library in turn, in several rounds, and
// prints the cost of an event for each way of reading or writing, as tables in Markdown.
//
//	bench -bin build/bench -object bench/events.bpf.o
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

// A form is one way of reading or writing events with a library, such as its method Read or a channel.
type form struct {
	library, name string
}

func (f form) String() string {
	switch {
	case f.name == "C":
		return "C, libbpf's loop and `memcpy`"
	case f.library == "here":
		return "**`" + f.name + "`**"
	}
	return f.library + " `" + f.name + "`"
}

var (
	c       = form{"here", "C"}
	reading = []form{
		c, {"here", "Records"}, {"here", "ReadBatch"}, {"here", "ReadInto"}, {"here", "Read"}, {"here", "channel"},
		{"cilium", "ReadInto"}, {"cilium", "Read"}, {"libbpfgo", "channel"},
	}
	writing = []form{c, {"here", "Write"}, {"here", "WriteBatch"}, {"libbpfgo", "channel"}}
	waiting = []form{{"here", "Read"}, {"here", "channel"}, {"cilium", "Read"}, {"libbpfgo", "channel"}}
	several = []form{
		c, {"here", "Records"}, {"here", "ReadBatch"}, {"here", "ReadInto"}, {"here", "Read"}, {"here", "channel"},
		{"libbpfgo", "channel"},
	}
)

var kinds = []string{"ring", "perf"}

var buffers = map[string]string{"ring": "Ring buffer", "perf": "Perf buffer"}

var (
	bin    = flag.String("bin", "", "folder of the libraries' programs")
	object = flag.String("object", "", "path of events.bpf.o")
	rounds = flag.Int("rounds", 4, "how often each process runs; the best result counts")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := heading(); err != nil {
		return err
	}
	filled, woken, waited := make(map[string]map[form]peer.Result), make(map[string]map[form]peer.Result), make(map[string]map[form]peer.Result)
	for _, kind := range kinds {
		var err error
		if filled[kind], err = full(kind); err != nil {
			return err
		}
	}
	for _, job := range []peer.Job{{Kind: "ring", Count: 1}, {Kind: "ring", Count: 2}, {Kind: "perf", Count: 1}, {Kind: "perf", Count: 2}} {
		job.Scenario, job.Size = "producers", 64
		threads := "one thread sends"
		if job.Count > 1 {
			threads = fmt.Sprintf("%d threads send", job.Count)
		}
		title := fmt.Sprintf("%s, 64 bytes, while %s; the time includes sending", buffers[job.Kind], threads)
		if _, err := table(title, "", reading, job); err != nil {
			return err
		}
	}
	const note = "cilium/ebpf's reader has only one ring. With libbpfgo, each ring has its own channel and receiving " +
		"goroutine: it closes a channel once per ring, so that rings can't share one.\n"
	if _, err := table("Eight rings in one reader, 64 bytes, filled in advance", note, several, peer.Job{Scenario: "rings", Kind: "ring", Size: 64}); err != nil {
		return err
	}
	written, err := table("User ring buffer, samples of 64 bytes", "", writing, peer.Job{Scenario: "user", Size: 64})
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if woken[kind], err = latency(kind); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		if waited[kind], err = idle(kind); err != nil {
			return err
		}
	}
	summary(filled, woken, waited, written)
	return nil
}

func heading() error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	cpu := "unknown processor"
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	fmt.Printf("# Benchmark\n\n")
	fmt.Printf("`make bench` on %s: Linux %s, %d × %s, %s, libbpf %s, libbpfgo v0.10.0-libbpf-1.5.1, cilium/ebpf v0.22.0.\n",
		time.Now().Format(time.DateOnly), unix.ByteSliceToString(name.Release[:]), runtime.NumCPU(), cpu, runtime.Version(),
		bpf.LibbpfVersionString())
	fmt.Printf("All libraries use the same BPF object, each in its own process. ")
	fmt.Printf("A result is the best of %d processes with several rounds each.\n", *rounds)
	fmt.Printf("Times are nanoseconds per event. Bold is this library.\n")
	return nil
}

// full prints the table of buffers filled in advance, for all sizes, and returns the results for 64 bytes.
func full(kind string) (map[form]peer.Result, error) {
	fmt.Printf("\n## %s, filled in advance, by size of the event\n\n", buffers[kind])
	fmt.Printf("| | 16 | 64 | × C | allocations | 512 | 4,096 |\n|---|---|---|---|---|---|---|\n")
	results := make(map[int]map[form]peer.Result)
	for _, size := range []int{16, 64, 512, 4096} {
		var err error
		if results[size], err = measure(reading, peer.Job{Scenario: "full", Kind: kind, Size: size}); err != nil {
			return nil, err
		}
	}
	at64 := results[64]
	for _, f := range reading {
		ns := func(size int) float64 { return results[size][f].Nanoseconds }
		fmt.Printf("| %v | %.1f | %.1f | %.1f | %.3f | %.1f | %.0f |\n", f, ns(16), ns(64), ns(64)/at64[c].Nanoseconds,
			at64[f].Allocations, ns(512), ns(4096))
	}
	return at64, nil
}

// table measures a job with each of the forms, which must include C, prints the table, and returns the results.
func table(title, note string, forms []form, job peer.Job) (map[form]peer.Result, error) {
	fmt.Printf("\n## %s\n\n", title)
	if note != "" {
		fmt.Println(note)
	}
	fmt.Printf("| | ns | × C | allocations |\n|---|---|---|---|\n")
	best, err := measure(forms, job)
	if err != nil {
		return nil, err
	}
	for _, f := range forms {
		r := best[f]
		fmt.Printf("| %v | %.1f | %.1f | %.3f |\n", f, r.Nanoseconds, r.Nanoseconds/best[c].Nanoseconds, r.Allocations)
	}
	return best, nil
}

// latency measures how long a reader takes to wake up, prints the table, and returns the results.
func latency(kind string) (map[form]peer.Result, error) {
	fmt.Printf("\n## Latency of a single event, from sending to reading, %s buffer, µs\n\n", kind)
	fmt.Printf("| | p50 | p99 | p99.9 |\n|---|---|---|---|\n")
	best, err := measure(waiting, peer.Job{Scenario: "latency", Kind: kind, Size: 16})
	if err != nil {
		return nil, err
	}
	for _, f := range waiting {
		fmt.Printf("| %v | %.1f | %.1f | %.1f |\n", f, best[f].P50, best[f].P99, best[f].P999)
	}
	return best, nil
}

// idle measures the cost of waiting readers, prints the table, and returns the results.
func idle(kind string) (map[form]peer.Result, error) {
	fmt.Printf("\n## Eight readers that wait for two seconds without an event, %s buffer\n\n", kind)
	fmt.Printf("| | additional threads | processor time | allocations |\n|---|---|---|---|\n")
	best, err := measure(waiting, peer.Job{Scenario: "idle", Kind: kind, Size: 16})
	if err != nil {
		return nil, err
	}
	for _, f := range waiting {
		fmt.Printf("| %v | %d | %.3f %% | %.0f |\n", f, best[f].Threads, best[f].CPU*100, best[f].Allocations)
	}
	return best, nil
}

// measure runs a process for each form, in several rounds over all forms, and returns the best result of each.
func measure(forms []form, job peer.Job) (map[form]peer.Result, error) {
	best := make(map[form]peer.Result)
	job.Object = *object
	for range *rounds {
		for _, f := range forms {
			job.Form = f.name
			result, err := process(f.library, job)
			if err != nil {
				return nil, fmt.Errorf("%v, %s %s of %d bytes: %w", f, job.Scenario, job.Kind, job.Size, err)
			}
			before, measured := best[f]
			if !measured || result.Nanoseconds < before.Nanoseconds || result.Nanoseconds == 0 && better(result, before) {
				best[f] = result
			}
		}
	}
	return best, nil
}

func better(a, b peer.Result) bool {
	return a.P99 < b.P99 || a.P99 == 0 && a.CPU < b.CPU
}

func process(library string, job peer.Job) (result peer.Result, err error) {
	input, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	var output, errs bytes.Buffer
	command := exec.Command(filepath.Join(*bin, library))
	command.Stdin = bytes.NewReader(input)
	command.Stdout, command.Stderr = &output, &errs
	if err := command.Run(); err != nil {
		return result, fmt.Errorf("%w: %s", err, errs.String())
	}
	return result, json.Unmarshal(output.Bytes(), &result)
}
