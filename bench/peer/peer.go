// Package peer is shared by the benchmark's processes, one for each library. It has the work, which is the same for all
// libraries, and measures it.
package peer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Job describes what a process measures.
type Job struct {
	Scenario string // full, producers, rings, latency, user, idle
	Kind     string // ring or perf
	Form     string // the library's way of reading or writing
	Size     int    // bytes of an event
	Count    int    // number of producers
	Object   string // path of events.bpf.o
}

// A Result has the measurements of a job. Which of them are set depends on the scenario.
type Result struct {
	Nanoseconds float64 // per event, in the fastest round
	Allocations float64 // per event, in the fastest round; in the scenario idle, all allocations
	// P50, P99 and P999 are wake-up latencies in microseconds.
	P50, P99, P999 float64
	Threads        int     // additional threads
	CPU            float64 // processor time divided by wall time
}

// round measures one call of f, which processes n events, and keeps the result if it is the fastest so far.
func (r *Result) round(n int, f func() error) error {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	err := f()
	took := float64(time.Since(begin)) / float64(n)
	runtime.ReadMemStats(&after)
	if r.Nanoseconds == 0 || took < r.Nanoseconds {
		r.Nanoseconds = took
		r.Allocations = float64(after.Mallocs-before.Mallocs) / float64(n)
	}
	return err
}

// An Object is a loaded events.bpf.o.
type Object interface {
	ProgFD(name string) int
	MapFD(name string) int
	// Ring returns a reader of the rings.
	Ring(form string, names ...string) (Source, error)
	// Perf returns a reader of the perf event array. Each CPU's buffer has the given number of pages.
	Perf(form string, pages int) (Source, error)
	// User returns a writer to the user ring buffer.
	User(form string) (Sink, error)
	Close()
}

// A Source is a reader of events.
type Source interface {
	// Read reads n events and returns the sum of their first 8 bytes.
	Read(n int) (uint64, error)
	Close()
}

// A Sink is a writer of samples.
type Sink interface {
	// Write writes n samples. When it returns, all of them are in the ring.
	Write(n int, sample []byte) error
	Close()
}

// A Stamped source can read the time at which an event was sent: the second 8 bytes of the next event.
type Stamped interface {
	ReadStamp() (uint64, error)
}

// Main reads a job from the standard input, measures it, and prints the result. load loads the BPF object.
func Main(load func(object []byte) (Object, error)) {
	if err := run(load); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(load func(object []byte) (Object, error)) error {
	var job Job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return err
	}
	image, err := os.ReadFile(job.Object)
	if err != nil {
		return err
	}
	object, err := load(image)
	if err != nil {
		return err
	}
	defer object.Close()
	var result Result
	switch job.Scenario {
	case "full":
		err = full(object, job, &result)
	case "producers":
		err = producers(object, job, &result)
	case "rings":
		err = rings(object, job, &result)
	case "latency":
		err = latency(object, job, &result)
	case "user":
		err = user(object, job, &result)
	case "idle":
		err = idle(object, job, &result)
	default:
		err = fmt.Errorf("no scenario %q", job.Scenario)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// pages is the size of each CPU's perf buffer in pages, 4 MiB. It is small because locked memory is limited.
const pages = 1024

func open(object Object, job Job) (Source, error) {
	if job.Kind == "perf" {
		return object.Perf(job.Form, pages)
	}
	return object.Ring(job.Form, "ring0")
}

// send runs a program until it has sent n events or sends no more. It returns the number of sent events.
func send(object Object, program string, n int) (int, error) {
	fd := object.ProgFD(program)
	sent := 0
	for sent < n {
		args := [1]uint64{uint64(n - sent)}
		attr := struct {
			progFD, retval, dataIn, dataOut uint32
			dataInPtr, dataOutPtr           uint64
			repeat, duration, ctxIn, ctxOut uint32
			ctxInPtr, ctxOutPtr             uint64
			flags, cpu, batch, pad          uint32
		}{progFD: uint32(fd), ctxIn: 8, ctxInPtr: uint64(uintptr(unsafe.Pointer(&args)))}
		const progTestRun = 10
		_, _, errno := unix.Syscall(unix.SYS_BPF, progTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		runtime.KeepAlive(&args)
		if errno != 0 {
			return sent, errno
		}
		if attr.retval == 0 {
			break
		}
		sent += int(attr.retval)
	}
	return sent, nil
}

// oneCPU locks the goroutine to its thread and the thread to a CPU.
func oneCPU(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// full reads from a buffer that was filled in advance.
func full(object Object, job Job, result *Result) error {
	if err := oneCPU(0); err != nil {
		return err
	}
	n, rounds := min(200_000, 16<<20/(job.Size+8)*9/10), 12
	if job.Kind == "perf" {
		// Fewer events: the kernel takes a hundred times as long to send a perf event as it takes to read one.
		n, rounds = min(30_000, pages*os.Getpagesize()/(job.Size+16)*9/10), 6
	}
	program := fmt.Sprintf("%s_%d", job.Kind, job.Size)
	for round := range rounds {
		source, err := open(object, job)
		if err != nil {
			return err
		}
		if sent, err := send(object, program, n); err != nil || sent != n {
			return fmt.Errorf("sent %d of %d, %v", sent, n, err)
		}
		err = result.round(n, func() error { return read(source, uint64(round*n), n) })
		source.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads n events and checks the sum of their numbers, which begin with first.
func read(source Source, first uint64, n int) error {
	got, err := source.Read(n)
	if want := sum(first, first+uint64(n)); err != nil || got != want {
		return fmt.Errorf("read %d, want %d, %v", got, want, err)
	}
	return nil
}

// sum returns the sum of the numbers from first to end-1.
func sum(first, end uint64) uint64 {
	return end*(end-1)/2 - first*(first-1)/2
}

// producers reads while job.Count threads send.
func producers(object Object, job Job, result *Result) error {
	n, rounds := 400_000, 5
	if job.Kind == "perf" {
		// The buffer has room for all of them: a full perf buffer would lose events.
		n, rounds = 30_000, 6
	}
	program := fmt.Sprintf("%s_%d", job.Kind, job.Size)
	for round := range rounds {
		source, err := open(object, job)
		if err != nil {
			return err
		}
		// A program numbers an event after it has reserved room, so that the numbers of sent events have no gap.
		err = result.round(n, func() error {
			var all sync.WaitGroup
			errs := make([]error, job.Count)
			for i := range job.Count {
				all.Add(1)
				go func() {
					defer all.Done()
					for left := n / job.Count; left > 0 && errs[i] == nil; {
						var sent int
						sent, errs[i] = send(object, program, min(left, 1000))
						left -= sent
					}
				}()
			}
			err := read(source, uint64(round*n), n)
			all.Wait()
			return errors.Join(append(errs, err)...)
		})
		source.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// rings reads from eight rings that were filled in advance.
func rings(object Object, job Job, result *Result) error {
	if err := oneCPU(0); err != nil {
		return err
	}
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("ring%d", i))
	}
	const n = 8 * 12_000
	for round := range 12 {
		source, err := object.Ring(job.Form, names...)
		if err != nil {
			return err
		}
		if sent, err := send(object, "rings_64", n/8); err != nil || sent != n {
			return fmt.Errorf("sent %d, %v", sent, err)
		}
		err = result.round(n, func() error { return read(source, uint64(round*n), n) })
		source.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// latency measures the time from sending a single event to reading it.
func latency(object Object, job Job, result *Result) error {
	source, err := open(object, job)
	if err != nil {
		return err
	}
	defer source.Close()
	stamped, ok := source.(Stamped)
	if !ok {
		return fmt.Errorf("form %q has no stamps", job.Form)
	}
	const n = 5000
	failed := make(chan error, 1)
	go func() {
		for range n {
			time.Sleep(200 * time.Microsecond)
			if sent, err := send(object, job.Kind+"_16", 1); err != nil || sent != 1 {
				failed <- fmt.Errorf("sent %d, %v", sent, err)
				os.Exit(1)
			}
		}
	}()
	var waits []float64
	for range n {
		stamp, err := stamped.ReadStamp()
		if err != nil {
			return err
		}
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return err
		}
		waits = append(waits, float64(now.Nano()-int64(stamp))/1000)
	}
	slices.Sort(waits)
	result.P50, result.P99, result.P999 = waits[n/2], waits[n*99/100], waits[n*999/1000]
	return nil
}

// user writes samples to a user ring buffer that is drained after each round.
func user(object Object, job Job, result *Result) error {
	if job.Form != "channel" { // a channel needs another goroutine, on another CPU
		if err := oneCPU(0); err != nil {
			return err
		}
	}
	sink, err := object.User(job.Form)
	if err != nil {
		return err
	}
	defer sink.Close()
	const n = 100_000
	sample := make([]byte, job.Size)
	for range 12 {
		if err := result.round(n, func() error { return sink.Write(n, sample) }); err != nil {
			return err
		}
		if drained, err := send(object, "drain", 1); err != nil || drained != n {
			return fmt.Errorf("drained %d, %v", drained, err)
		}
	}
	return nil
}

// idle measures a process in which several readers wait for events that never arrive.
func idle(object Object, job Job, result *Result) error {
	debug.SetGCPercent(-1)
	const readers = 8
	// Make the runtime start as many threads as this many running goroutines need, before counting threads.
	together(readers, func(int) {
		for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		}
	})
	threads := countThreads()
	sources := make([]Source, readers)
	for i := range sources {
		var err error
		if job.Kind == "perf" {
			sources[i], err = object.Perf(job.Form, 1)
		} else {
			sources[i], err = object.Ring(job.Form, fmt.Sprintf("ring%d", i))
		}
		if err != nil {
			return err
		}
	}
	go together(readers, func(i int) { _, _ = sources[i].Read(1) })
	time.Sleep(500 * time.Millisecond)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, used := time.Now(), cpuTime()
	time.Sleep(2 * time.Second)
	result.CPU = float64(cpuTime()-used) / float64(time.Since(begin))
	runtime.ReadMemStats(&after)
	result.Allocations = float64(after.Mallocs - before.Mallocs)
	result.Threads = countThreads() - threads
	for _, source := range sources {
		source.Close()
	}
	return nil
}

// together calls f with 0 to n-1, concurrently, and returns when all calls have returned.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			f(i)
		}()
	}
}

func countThreads() int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return -1
	}
	return len(tasks)
}

func cpuTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Number returns the first 8 bytes of an event.
func Number(event []byte) uint64 { return binary.NativeEndian.Uint64(event) }

// Stamp returns the second 8 bytes of an event.
func Stamp(event []byte) uint64 { return binary.NativeEndian.Uint64(event[8:]) }
