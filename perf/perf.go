// Package perf reads a perf event array. Its names are those that other libraries use, so that programs written for
// them can be adapted easily. It wraps [libbpfgo.PerfReader], which has more features.
package perf

import (
	"fmt"
	"math/bits"
	"os"
	"syscall"
	"time"

	"github.com/seed-36717feb/libbpfgo"
)

// ErrClosed is the error that a closed reader returns; test for it with errors.Is.
var ErrClosed = os.ErrClosed

// ErrFlushed is the error that a flushed reader returns after everything was read; test for it with errors.Is.
var ErrFlushed = libbpfgo.ErrFlushed

// A Record is an event, or the number of lost events.
type Record struct {
	// CPU is the CPU on which the event was sent.
	CPU int
	// RawSample is the data that the program sent, followed by up to 7 bytes of padding. It is empty if the record
	// reports lost events.
	RawSample []byte
	// LostSamples is the number of events that were lost because the CPU's buffer had no room for them. It is 0 if the
	// record is an event.
	LostSamples uint64
	// Remaining is the number of bytes that followed the event in the CPU's buffer when the reader last read how far the
	// kernel had filled it.
	Remaining int
}

// ReaderOptions are the options of [NewReaderWithOptions].
type ReaderOptions struct {
	// WakeupEvents is the number of events on a CPU that wakes a waiting call; 0 means 1.
	WakeupEvents int
}

// A Reader reads the events of a perf event array. All methods may be called from several goroutines.
type Reader struct {
	reader *libbpfgo.PerfReader
	pages  int
}

// NewReader is [NewReaderWithOptions] without options.
func NewReader(array *libbpfgo.BPFMap, perCPUBuffer int) (*Reader, error) {
	return NewReaderWithOptions(array, perCPUBuffer, ReaderOptions{})
}

// NewReaderWithOptions returns a reader of the map. It has a buffer of at least perCPUBuffer bytes for each CPU that is
// online, see [libbpfgo.NewPerfReader].
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

// pagesFor returns the smallest number of pages that is a power of two and has room for size bytes.
func pagesFor(size int) int {
	return 1 << bits.Len(uint((size-1)/os.Getpagesize()))
}

// in returns the wrapped reader. For nil and the zero value it returns nil, which behaves as a closed reader.
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

// ReadInto is Read, and reuses the memory of record.RawSample. If that is too small, it is replaced.
func (r *Reader) ReadInto(record *Record) error {
	return r.in().ReadInto((*libbpfgo.PerfRecord)(record))
}

// SetDeadline makes Read and ReadInto return os.ErrDeadlineExceeded after the given time. It also applies to calls that
// are already waiting. The zero time means no deadline.
func (r *Reader) SetDeadline(t time.Time) {
	r.in().SetDeadline(t)
}

// Flush makes the waiting call return [ErrFlushed] once everything in the buffers has been read. If no call is waiting,
// it applies to the next call that would wait.
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

// Close closes the reader, ends waiting calls and frees the buffers. Closing again does nothing.
func (r *Reader) Close() error {
	return r.in().Close()
}
