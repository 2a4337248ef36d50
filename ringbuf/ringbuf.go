// Package ringbuf reads a ring buffer map by the names that programs for other libraries use. It is
// [libbpfgo.RingBufReader], which can do more.
package ringbuf

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/seed-36717feb/libbpfgo"
)

// ErrClosed is found, by errors.Is, in what a reader returns once it is closed.
var ErrClosed = os.ErrClosed

// ErrFlushed is found in what a reader returns once it was flushed and everything was read.
var ErrFlushed = libbpfgo.ErrFlushed

// A Record is one of the ring.
type Record struct {
	RawSample []byte
	// Remaining is how many bytes the ring held behind the record when it was last looked at, with the
	// records' headers of 8 bytes.
	Remaining int
}

// A Reader reads the records of a ring buffer map. All methods may be called from several goroutines.
type Reader struct {
	reader *libbpfgo.RingBufReader
}

// NewReader returns a reader of the map, see [libbpfgo.NewRingBufReader].
func NewReader(bpfMap *libbpfgo.BPFMap) (*Reader, error) {
	r, err := libbpfgo.NewRingBufReader(bpfMap)
	if err != nil {
		return nil, err
	}
	return &Reader{r}, nil
}

// in returns the reader behind r; nil, which is closed, for nil and the zero value.
func (r *Reader) in() *libbpfgo.RingBufReader {
	if r == nil {
		return nil
	}
	return r.reader
}

// Read waits for the next record, which belongs to the caller, see [libbpfgo.RingBufReader.Read].
func (r *Reader) Read() (Record, error) {
	sample, n, err := r.in().ReadSample(nil)
	return Record{sample, n}, err
}

// ReadInto is Read into the memory of record.RawSample, which is enlarged if need be.
func (r *Reader) ReadInto(record *Record) error {
	if record == nil {
		return fmt.Errorf("nil record: %w", syscall.EINVAL)
	}
	_, n, err := r.in().ReadSample(&record.RawSample)
	record.Remaining = n
	return err
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

// BufferSize returns the size of the ring in bytes.
func (r *Reader) BufferSize() int {
	return r.in().BufferSize()
}

// AvailableBytes returns how many bytes there are to be read, with the records' headers; 0 once the
// reader is closed.
func (r *Reader) AvailableBytes() int {
	n, err := r.in().AvailableBytes()
	if err != nil {
		return 0
	}
	return n
}

// Close ends the reading and frees the reader. Closing again does nothing.
func (r *Reader) Close() error {
	return r.in().Close()
}
