package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"context"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A RingBuffer moves the records of one or more ring buffer maps (BPF_MAP_TYPE_RINGBUF, Linux 5.8)
// into channels. It is made by [Module.InitRingBuf], started by [RingBuffer.Poll], and ended by
// [RingBuffer.Stop] or [RingBuffer.Close], which close the channels.
//
// Each slice that arrives belongs to the receiver, who may keep and change it; its first byte is
// aligned to 8. Records arrive in the order of the ring. None is lost while the receiver is slow:
// the ring fills up, and the BPF program sees that it can't reserve room. Up to some kilobytes of
// records wait in the process; what the channel doesn't take any more when Stop is called is left to
// the next reader of the same [BPFMap] ([NewRingBufReader] says in which order). A slice shares its memory with up to 64 KiB of its neighbours: copy what is
// to be kept for long.
//
// Each map has a goroutine of its own, so that a channel that nobody reads holds up no other. No
// thread is held while it waits. All methods may be called from several goroutines.
type RingBuffer struct {
	module *Module
	feeder *feeder

	mutex sync.Mutex
	// added are the modules of further rings, which aren't dropped before the buffer.
	added []*Module
}

// InitRingBuf makes a buffer that sends the records of the map mapName to eventsChan once
// [RingBuffer.Poll] is called. The object must be loaded. A channel that another buffer closes, or
// anybody else, ends the buffer with an error, see [RingBuffer.Err].
//
// Implements: ring_buffer__new
func (m *Module) InitRingBuf(mapName string, eventsChan chan []byte) (*RingBuffer, error) {
	f, err := m.newRingFeed(mapName, eventsChan)
	if err != nil {
		return nil, err
	}
	feeder, err := newFeeder(m, f)
	if err != nil {
		return nil, err
	}
	return &RingBuffer{module: m, feeder: feeder}, nil
}

// newRingFeed returns a feed from the map of that name to the channel.
func (m *Module) newRingFeed(mapName string, events chan []byte) (*feed, error) {
	what := fmt.Sprintf("make ring buffer of map %q", mapName)
	if events == nil {
		return nil, failed(fmt.Errorf("nil channel: %w", syscall.EINVAL), what)
	}
	bpfMap, err := m.GetMap(mapName)
	if err != nil {
		return nil, failed(err, what)
	}
	r, err := newRingReader(bpfMap)
	if err != nil {
		return nil, err
	}
	return newFeed(r, events, nil), nil
}

func newRingReader(maps ...*BPFMap) (*reader, error) {
	return newReader("ring buffer", maps, nil, func(c *C.struct_golibbpf_reader, fd C.int) C.int {
		return C.golibbpf_reader_add_ring(c, fd)
	})
}

// AddRingBuf makes ringBuf send the records of one more map, mapName of this module, to
// eventsChan. If ringBuf is polling, this begins at once. The first result tells whether that was
// done.
//
// Implements: ring_buffer__add
func (m *Module) AddRingBuf(ringBuf *RingBuffer, mapName string, eventsChan chan []byte) (bool, error) {
	if ringBuf == nil {
		return false, failedf(fmt.Errorf("nil buffer: %w", syscall.EINVAL), "add ring buffer of map %q", mapName)
	}
	f, err := m.newRingFeed(mapName, eventsChan)
	if err != nil {
		return false, err
	}
	if err := ringBuf.in().add(m, f); err != nil {
		return false, err
	}
	ringBuf.mutex.Lock()
	defer ringBuf.mutex.Unlock()
	ringBuf.added = append(ringBuf.added, m)
	return true, nil
}

// in returns what feeds the channels; for nil and the zero value, a feeder that is closed.
func (rb *RingBuffer) in() *feeder {
	if rb == nil || rb.feeder == nil {
		return noFeeder
	}
	return rb.feeder
}

// Poll starts to send records to the channels and returns at once.
//
// The kernel doesn't announce records that a BPF program submits with BPF_RB_NO_WAKEUP. They are
// found together with the next that is announced, or when timeout milliseconds have passed without
// one, if that is greater than 0. Announced records are sent at once.
//
// A second call, or one after Stop, does nothing.
//
// Implements: ring_buffer__poll
func (rb *RingBuffer) Poll(timeout int) {
	rb.in().poll(rb, time.Duration(min(timeout, math.MaxInt32))*time.Millisecond)
}

// Start is Poll(300).
//
// Deprecated: use [RingBuffer.Poll].
func (rb *RingBuffer) Start() {
	rb.Poll(300)
}

// Stop ends the polling and closes the channels. It doesn't wait for receivers. Without Poll, or
// when called again, it does nothing.
func (rb *RingBuffer) Stop() {
	rb.in().stop()
}

// Close stops the polling and frees the buffer. Records that are left in the ring stay there for
// another buffer of the same map. Closing again does nothing.
//
// Implements: ring_buffer__free
func (rb *RingBuffer) Close() {
	rb.in().close()
	if rb == nil {
		return
	}
	rb.mutex.Lock()
	defer rb.mutex.Unlock()
	rb.added = nil
}

// Err returns the error that ended the polling and closed the channels; nil while it goes on and
// if it was ended by Stop or Close.
func (rb *RingBuffer) Err() error {
	return rb.in().failure()
}

// A Record is one of a ring buffer.
//
// It has four words, with which the compiler keeps it in registers.
type Record struct {
	RawSample []byte
	// Map is where the record is from.
	Map *BPFMap
}

// A RingBufReader reads the records of one or more ring buffer maps (BPF_MAP_TYPE_RINGBUF, Linux 5.8).
// Those of one map come in their order; the maps take turns, so that none is kept waiting by another
// one that is always full.
//
// Reading doesn't hold a thread while it waits. After Close, which may be called at any time, all
// methods return an error for which errors.Is(err, os.ErrClosed) holds; closing the module closes the
// reader. Records that were not read are left to the next reader of the same [BPFMap], also those that
// are in the process already; in their order, unless that reader was open before, see [NewRingBufReader].
//
// The kernel doesn't announce records that a BPF program submits with BPF_RB_NO_WAKEUP. They are read
// together with the next that is announced, and before a deadline or Flush takes effect; see also
// [RingBufReader.SetPollInterval].
//
// All methods may be called from several goroutines, except that the records of ReadBatch and of
// Records are valid only until the next call that reads.
type RingBufReader struct {
	reader *reader
	// maps hold their modules: a method whose call must not see a module closed by the garbage collector
	// keeps the RingBufReader alive.
	maps []*BPFMap
}

// NewRingBufReader returns a reader of the maps, which must be created. Several readers of one [BPFMap] share
// its records, of which each goes to one of them, and each gets its records in their order, with one exception:
// what a reader had taken and not handed out when it was closed goes to the others after what they have taken
// by then, although it stood before that in the ring. But if the same map of the kernel is read by way of another
// module or by another process at the same time, records come twice or garbled, or errors do.
//
// Implements: ring_buffer__new, ring_buffer__add
func NewRingBufReader(maps ...*BPFMap) (*RingBufReader, error) {
	r, err := newRingReader(maps...)
	if err != nil {
		return nil, err
	}
	return &RingBufReader{r, slices.Clone(maps)}, nil
}

// in returns what reads; for nil and the zero value, a reader that is closed.
func (r *RingBufReader) in() *reader {
	if r == nil || r.reader == nil {
		return noRingReader
	}
	return r.reader
}

// Read waits for the next record, which belongs to the caller. Its memory is shared with up to 64 KiB of
// its neighbours: copy what is to be kept for long.
//
// If there is none when a deadline has passed, errors.Is(err, os.ErrDeadlineExceeded) holds, and
// [ErrFlushed] after [RingBufReader.Flush]; reading can go on afterwards.
//
// Implements: ring_buffer__poll
func (r *RingBufReader) Read() (Record, error) {
	for {
		if data, from, ok := r.in().window.Load().take(nil); ok {
			return Record{data, r.maps[from.source]}, nil
		}
		_, err := r.in().offer(false)
		runtime.KeepAlive(r)
		if err != nil {
			return Record{}, err
		}
	}
}

// ReadSample is Read of a record's sample alone or, if into isn't nil, ReadInto. It also returns how many
// bytes the ring held behind the record when it was last looked at, with the records' headers of 8 bytes.
func (r *RingBufReader) ReadSample(into *[]byte) (sample []byte, remaining int, err error) {
	for {
		if sample, from, ok := r.in().window.Load().take(into); ok {
			return sample, from.behind, nil
		}
		_, err := r.in().offer(into != nil)
		runtime.KeepAlive(r)
		if err != nil {
			return nil, 0, err
		}
	}
}

// ReadInto is Read into the memory of record.RawSample, which is enlarged if need be. It allocates
// nothing otherwise.
func (r *RingBufReader) ReadInto(record *Record) error {
	if record == nil {
		return failed(fmt.Errorf("nil record: %w", syscall.EINVAL), "read "+r.in().what)
	}
	for {
		if _, from, ok := r.in().window.Load().take(&record.RawSample); ok {
			if bpfMap := r.maps[from.source]; record.Map != bpfMap {
				record.Map = bpfMap
			}
			return nil
		}
		_, err := r.in().offer(true)
		runtime.KeepAlive(r)
		if err != nil {
			return err
		}
	}
}

// ReadBatch waits like Read and then fills records with what is there, as far as one look at one of the
// maps has found it, and returns their number. They are to be read only, and their memory is used again by
// the next call that reads.
func (r *RingBufReader) ReadBatch(records []Record) (int, error) {
	defer runtime.KeepAlive(r)
	if len(records) == 0 {
		return 0, nil
	}
	r.in().reading.Lock()
	defer r.in().reading.Unlock()
	if err := r.in().next(context.Background(), true); err != nil {
		return 0, err
	}
	b := &r.in().batch
	n := min(len(records), b.count()-b.from)
	records = records[:n]
	data, ends, bpfMap := b.data, b.ends[b.from+1:][:n], r.maps[b.source]
	start := uint(alignRecord(b.ends[b.from]))
	for i := range records {
		end := uint(ends[i])
		record := &records[i]
		record.RawSample = data[start:end:end]
		start = (end + 7) &^ 7
		if record.Map != bpfMap {
			record.Map = bpfMap
		}
	}
	b.from += n
	return n, nil
}

// Records returns the records as they come, each to be read only and valid only for its turn. The sequence
// ends, with an error, when ctx is done or for the reasons for which Read returns one. When the loop is left, the
// records that it has not seen are there for the next call that reads.
func (r *RingBufReader) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		defer runtime.KeepAlive(r)
		for b, err := range r.in().batches(ctx) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			bpfMap := r.maps[b.source]
			data, ends := b.data, b.ends[1:]
			start := uint(alignRecord(b.ends[b.from]))
			for b.from < len(ends) {
				end := uint(ends[b.from])
				b.from++
				record := data[start:end:end]
				start = (end + 7) &^ 7
				if !yield(Record{record, bpfMap}, nil) {
					return
				}
			}
		}
	}
}

// take returns the next record of a batch that has one.
func (r *RingBufReader) take(b *batch) Record {
	data, _ := b.next()
	return Record{data, r.maps[b.source]}
}

// SetDeadline makes calls that wait, also those that wait already, return once it has passed with an
// error for which errors.Is(err, os.ErrDeadlineExceeded) holds. The zero time is no deadline.
func (r *RingBufReader) SetDeadline(deadline time.Time) {
	r.in().setDeadline(deadline)
}

// SetPollInterval makes calls that wait look for records that were not announced, whenever interval has
// passed; 0, the default, is never.
func (r *RingBufReader) SetPollInterval(interval time.Duration) {
	r.in().setInterval(max(interval, 0))
}

// Flush makes the call that waits, or else the next one that would, return [ErrFlushed] after everything
// that is there has been read.
func (r *RingBufReader) Flush() {
	r.in().flush()
}

// Close ends the reading and frees the reader. Closing again does nothing.
//
// Implements: ring_buffer__free
func (r *RingBufReader) Close() error {
	r.in().free()
	return nil
}

// EpollFD returns a descriptor, which belongs to the reader, that is readable while there are records in
// the kernel's rings; -1 once the reader is closed. To the runtime's poller, it is of no use.
//
// Implements: ring_buffer__epoll_fd
func (r *RingBufReader) EpollFD() int {
	return r.in().epollFD()
}

// BufferSize returns the size in bytes of all rings together.
func (r *RingBufReader) BufferSize() int {
	if r == nil {
		return 0
	}
	size := 0
	for _, bpfMap := range r.maps {
		size += int(bpfMap.MaxEntries())
	}
	return size
}

// AvailableBytes returns how many bytes there are to be read, with the records' headers of 8 bytes.
func (r *RingBufReader) AvailableBytes() (int, error) {
	defer runtime.KeepAlive(r)
	return r.in().availableBytes()
}

// Consume calls f for each record that is there when it is called, or a few that come meanwhile, without
// waiting, until f returns an error, which it returns with the number of calls. A record is valid only during
// the call.
//
// Implements: ring_buffer__consume
func (r *RingBufReader) Consume(f func(Record) error) (int, error) {
	return r.consume(-1, math.MaxInt, f)
}

// ConsumeN is Consume for at most n records. It does what ring_buffer__consume_n does, with every
// version of libbpf.
func (r *RingBufReader) ConsumeN(n int, f func(Record) error) (int, error) {
	return r.consume(-1, n, f)
}

func (r *RingBufReader) consume(only, limit int, f func(Record) error) (int, error) {
	defer runtime.KeepAlive(r)
	if f == nil {
		return 0, failed(errNoFunction, "read "+r.in().what)
	}
	return r.in().each(only, limit, func(b *batch) error { return f(r.take(b)) })
}

// A Ring is the ring of one of a reader's maps. Positions are in bytes and never go back.
type Ring struct {
	reader *RingBufReader
	index  int
}

// in returns the ring's reader; nil for nil and the zero value.
func (r *Ring) in() *RingBufReader {
	if r == nil {
		return nil
	}
	return r.reader
}

// Rings returns the rings (struct ring) in the order of the reader's maps.
func (r *RingBufReader) Rings() []*Ring {
	if r == nil {
		return nil
	}
	rings := make([]*Ring, len(r.maps))
	for i := range rings {
		rings[i] = &Ring{r, i}
	}
	return rings
}

// ConsumerPos returns how far the ring was read into the process. It needs libbpf 1.3.
//
// Implements: ring__consumer_pos
func (r *Ring) ConsumerPos() (uint64, error) {
	return r.use("ring__consumer_pos", func(c *C.struct_ring) uint64 { return uint64(C.ring__consumer_pos(c)) })
}

// ProducerPos returns how far BPF programs have reserved records. It needs libbpf 1.3.
//
// Implements: ring__producer_pos
func (r *Ring) ProducerPos() (uint64, error) {
	return r.use("ring__producer_pos", func(c *C.struct_ring) uint64 { return uint64(C.ring__producer_pos(c)) })
}

// AvailDataSize returns how many bytes are between the two positions. It needs libbpf 1.3.
//
// Implements: ring__avail_data_size
func (r *Ring) AvailDataSize() (uint64, error) {
	return r.use("ring__avail_data_size", func(c *C.struct_ring) uint64 { return uint64(C.ring__avail_data_size(c)) })
}

// Size returns the ring's size in bytes. It needs libbpf 1.3.
//
// Implements: ring__size
func (r *Ring) Size() (uint64, error) {
	return r.use("ring__size", func(c *C.struct_ring) uint64 { return uint64(C.ring__size(c)) })
}

// use runs a function of libbpf's, which came with libbpf 1.3, beside other calls.
func (r *Ring) use(function string, call func(*C.struct_ring) uint64) (value uint64, err error) {
	defer runtime.KeepAlive(r)
	reader := r.in().in()
	err = reader.use("look at "+reader.what, func() error {
		if err := needLibbpf(1, 3, function); err != nil {
			return err
		}
		value = call(C.ring_buffer__ring(reader.sources()[r.index].rb, 0))
		return nil
	})
	return value, err
}

// Map returns the ring's map.
func (r *Ring) Map() *BPFMap {
	if r.in() == nil {
		return nil
	}
	return r.reader.maps[r.index]
}

// MapFD returns the descriptor of the ring's map, which belongs to the map; -1 once that is closed.
func (r *Ring) MapFD() int {
	if r.in() == nil {
		return -1
	}
	return r.Map().FileDescriptor()
}

// Consume is [RingBufReader.Consume] of one ring alone.
func (r *Ring) Consume(f func(Record) error) (int, error) {
	return r.consume(math.MaxInt, f)
}

// ConsumeN is Consume for at most n records.
func (r *Ring) ConsumeN(n int, f func(Record) error) (int, error) {
	return r.consume(n, f)
}

func (r *Ring) consume(limit int, f func(Record) error) (int, error) {
	reader := r.in()
	if reader == nil {
		return reader.consume(0, limit, f)
	}
	return reader.consume(r.index, limit, f)
}
