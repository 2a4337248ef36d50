// Package perf reads a perf event array by the names that programs for other libraries use. It is
// [libbpfgo.PerfReader], which can do more.
package perf

import (
	"fmt"
	"math/bits"
	"os"
	"syscall"
	"time"

	"github.com/seed-36717feb/libbpfgo"
)

// ErrClosed is found, by errors.Is, in what a reader returns once it is closed.
var ErrClosed = os.ErrClosed

// ErrFlushed is found in what a reader returns once it was flushed and everything was read.
var ErrFlushed = libbpfgo.ErrFlushed

// A Record is an event, or tells how many were lost.
type Record struct {
	// CPU is where the event is from.
	CPU int
	// RawSample is what the program has sent and, at the end, up to 7 bytes of padding; empty if events
	// were lost, which LostSamples tells.
	RawSample []byte
	// LostSamples is how many events there was no room for.
	LostSamples uint64
	// Remaining is how many bytes the CPU's buffer held behind the event when it was last looked at.
	Remaining int
}

// ReaderOptions are the options of [NewReaderWithOptions].
type ReaderOptions struct {
	// WakeupEvents is how many events of a CPU have to come before a call that waits is woken; 0 is 1.
	WakeupEvents int
}

// A Reader reads the events of a perf event array. All methods may be called from several goroutines.
type Reader struct {
	reader *libbpfgo.PerfReader
	pages  int
}

// NewReader is [NewReaderWithOptions] with none.
func NewReader(array *libbpfgo.BPFMap, perCPUBuffer int) (*Reader, error) {
	return NewReaderWithOptions(array, perCPUBuffer, ReaderOptions{})
}

// NewReaderWithOptions returns a reader of the map with a buffer of at least perCPUBuffer bytes for each
// CPU that is online, see [libbpfgo.NewPerfReader].
func NewReaderWithOptions(array *libbpfgo.BPFMap, perCPUBuffer int, opts ReaderOptions) (*Reader, error) {
	if perCPUBuffer < 1 {
		return nil, fmt.Errorf("make perf buffer of %d bytes: %w", perCPUBuffer, syscall.EINVAL)
	}
	pages := pagesFor(perCPUBuffer)
	r, err := libbpfgo.NewPerfReader(array, libbpfgo.PerfReaderOptions{Pages: pages, WakeupEvents: opts.WakeupEvents})
	if err != nil {
		return nil, err
	}
	return &Reader{r, pages}, nil
}

// pagesFor returns how many pages, a power of two, hold size bytes.
func pagesFor(size int) int {
	return 1 << bits.Len(uint((size-1)/os.Getpagesize()))
}

// in returns the reader behind r; nil, which is closed, for nil and the zero value.
func (r *Reader) in() *libbpfgo.PerfReader {
	if r == nil {
		return nil
	}
	return r.reader
}

// Read waits for the next event, which belongs to the caller, see [libbpfgo.PerfReader.Read].
func (r *Reader) Read() (Record, error) {
	record, err := r.in().Read()
	return Record(record), err
}

// ReadInto is Read into the memory of record.RawSample, which is enlarged if need be.
func (r *Reader) ReadInto(record *Record) error {
	return r.in().ReadInto((*libbpfgo.PerfRecord)(record))
}

// SetDeadline makes Read and ReadInto, also calls that wait already, return os.ErrDeadlineExceeded once
// it has passed. The zero time is no deadline.
func (r *Reader) SetDeadline(t time.Time) {
	r.in().SetDeadline(t)
}

// Flush makes the call that waits, or else the next one that would, return [ErrFlushed] after everything
// that is there has been read.
func (r *Reader) Flush() error {
	r.in().Flush()
	return nil
}

// BufferSize returns the size of each CPU's buffer in bytes.
func (r *Reader) BufferSize() int {
	if r == nil {
		return 0
	}
	return r.pages * os.Getpagesize()
}

// Close ends the reading and frees the buffers. Closing again does nothing.
func (r *Reader) Close() error {
	return r.in().Close()
}
