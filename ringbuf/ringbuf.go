// Package ringbuf reads a ring buffer map. Its names are those that other libraries use, so that programs written for
// them can be adapted easily. It wraps [libbpfgo.RingBufReader], which has more features.
package ringbuf

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/seed-36717feb/libbpfgo"
)

// ErrClosed is the error that a closed reader returns; test for it with errors.Is.
var ErrClosed = os.ErrClosed

// ErrFlushed is the error that a flushed reader returns after everything was read; test for it with errors.Is.
var ErrFlushed = libbpfgo.ErrFlushed

// A Record is a record of the ring.
type Record struct {
	RawSample []byte
	// Remaining is the number of bytes that followed the record in the ring when the reader last read how far the kernel
	// had filled it. Each record's header of 8 bytes is included.
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

// in returns the wrapped reader. For nil and the zero value it returns nil, which behaves as a closed reader.
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

// ReadInto is Read, and reuses the memory of record.RawSample. If that is too small, it is replaced.
func (r *Reader) ReadInto(record *Record) error {
	if record == nil {
		return fmt.Errorf("nil record: %w", syscall.EINVAL)
	}
	_, n, err := r.in().ReadSample(&record.RawSample)
	record.Remaining = n
	return err
}

// SetDeadline makes Read and ReadInto return os.ErrDeadlineExceeded after the given time. It also applies to calls that
// are already waiting. The zero time means no deadline.
func (r *Reader) SetDeadline(t time.Time) {
	r.in().SetDeadline(t)
}

// Flush makes the waiting call return [ErrFlushed] once everything in the ring has been read. If no call is waiting, it
// applies to the next call that would wait.
func (r *Reader) Flush() error {
	r.in().Flush()
	return nil
}

// BufferSize returns the size of the ring in bytes.
func (r *Reader) BufferSize() int {
	return r.in().BufferSize()
}

// AvailableBytes returns the number of unread bytes in the ring, including the records' headers. It returns 0 after
// Close.
func (r *Reader) AvailableBytes() int {
	n, err := r.in().AvailableBytes()
	if err != nil {
		return 0
	}
	return n
}

// Close closes the reader, ends waiting calls and frees the reader. Closing again does nothing.
func (r *Reader) Close() error {
	return r.in().Close()
}
