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

// A RingBuffer sends the records of one or more ring buffer maps (BPF_MAP_TYPE_RINGBUF, Linux 5.8) to channels.
// [Module.InitRingBuf] creates it, and [RingBuffer.Poll] starts it. [RingBuffer.Stop] or [RingBuffer.Close] ends it
// and closes the channels.
//
// Each slice that arrives belongs to the receiver, which may keep and change it. Its first byte is aligned to 8. A
// slice shares its memory with up to 64 KiB of other records, so copy a record that is kept for long.
//
// Records arrive in the order of the ring. A slow receiver loses none: the ring fills up, and the BPF program can't
// reserve room in it. A few kilobytes of records may be buffered in the process. Records that the channel hasn't taken
// when Stop is called are left to the next reader of the same [BPFMap]; [NewRingBufReader] describes their order.
//
// Each map has its own goroutine, so a channel that nobody receives from doesn't block the others. A buffer that waits
// blocks no thread. All methods may be called from several goroutines.
type RingBuffer struct {
	module *Module // keeps the module alive, used for nothing else
	feeder *feeder

	mutex sync.Mutex
	// added exists only to keep the modules of further rings alive as long as the buffer.
	added []*Module
}

// InitRingBuf creates a buffer. Once [RingBuffer.Poll] is called, it sends the records of the map mapName to
// eventsChan. The object must be loaded. If another buffer or the program closes the channel, the buffer ends with an
// error, see [RingBuffer.Err].
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

// newRingFeed returns a feed that sends the records of the map with that name to the channel.
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

// AddRingBuf adds the map mapName of this module to ringBuf, which sends its records to eventsChan. If ringBuf is
// polling already, this starts at once. The first result is true if the map was added.
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

// in returns the feeder of the channels. For a nil or zero buffer, it returns one that is closed.
func (rb *RingBuffer) in() *feeder {
	if rb == nil || rb.feeder == nil {
		return noFeeder
	}
	return rb.feeder
}

// Poll starts to send records to the channels and returns at once.
//
// The kernel wakes no reader for records that a BPF program submits with BPF_RB_NO_WAKEUP. They are sent together with
// the next record that wakes the reader. If timeout is greater than 0, they are also sent when timeout milliseconds
// have passed without a wake-up. Other records are sent at once.
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

// Stop ends the polling and closes the channels. It doesn't wait for receivers. Before Poll, and when called again, it
// does nothing.
func (rb *RingBuffer) Stop() {
	rb.in().stop()
}

// Close stops the polling and frees the buffer. Records in the ring stay there for another buffer of the same map.
// Closing again does nothing.
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

// Err returns the error that ended the polling and closed the channels. It is nil while the polling goes on, and if
// Stop or Close has ended it.
func (rb *RingBuffer) Err() error {
	return rb.in().failure()
}

// A Record is a record of a ring buffer.
type Record struct {
	// Keep it at four words: the compiler puts larger structs on the stack, not into registers.

	RawSample []byte
	// Map is the map that the record was read from.
	Map *BPFMap
}

// A RingBufReader reads the records of one or more ring buffer maps (BPF_MAP_TYPE_RINGBUF, Linux 5.8). Records of one
// map come in their order. The maps take turns, so a map that is always full doesn't delay the others.
//
// A read that waits blocks no thread. Close may be called at any time. After it, all methods return os.ErrClosed
// (errors.Is); closing the module closes the reader. Records that were not read, in the ring or in the process, are
// left to the next reader of the same [BPFMap]. It reads them in their order, unless it was open already, see
// [NewRingBufReader].
//
// The kernel wakes no reader for records that a BPF program submits with BPF_RB_NO_WAKEUP. They are read together with
// the next record that wakes the reader, and before a deadline or Flush takes effect; see also
// [RingBufReader.SetPollInterval].
//
// All methods may be called from several goroutines. The records of ReadBatch and of Records are valid only until the
// next call that reads.
type RingBufReader struct {
	reader *reader
	// maps keep their modules alive. So methods must keep the RingBufReader alive (runtime.KeepAlive) until their
	// calls of C have returned.
	maps []*BPFMap
}

// NewRingBufReader returns a reader of the maps. The maps must have been created by the load.
//
// Several readers of one [BPFMap] share its records: each record goes to one reader, and each reader gets its records
// in their order. There is one exception: records that a reader had taken from the ring but not returned when it was
// closed go to the other readers, after the records that these have taken already, even if those were later in the
// ring.
//
// The sharing doesn't extend to other modules or processes. If another one reads the same map of the kernel at the
// same time, records may come twice or garbled, or reads may fail.
//
// Implements: ring_buffer__new, ring_buffer__add
func NewRingBufReader(maps ...*BPFMap) (*RingBufReader, error) {
	r, err := newRingReader(maps...)
	if err != nil {
		return nil, err
	}
	return &RingBufReader{r, slices.Clone(maps)}, nil
}

// in returns the internal reader. For a nil or zero RingBufReader, it returns one that is closed.
func (r *RingBufReader) in() *reader {
	if r == nil || r.reader == nil {
		return noRingReader
	}
	return r.reader
}

// Read waits for the next record. The record belongs to the caller. Its memory is shared with up to 64 KiB of other
// records, so copy a record that is kept for long.
//
// If a deadline passes without a record, the error is os.ErrDeadlineExceeded (errors.Is); after [RingBufReader.Flush],
// it is [ErrFlushed]. Reading can continue after both.
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

// ReadSample is Read for callers that need only the record's bytes. If into isn't nil, it copies them into *into, like
// ReadInto. remaining is the number of bytes that followed the record in the ring when the reader last read from it,
// including the records' headers of 8 bytes.
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

// ReadInto is Read, but copies the record into the memory of record.RawSample, which it enlarges if necessary. It
// allocates no other memory.
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

// ReadBatch waits like Read. It then fills records with present records of one map, as many as it takes from the ring
// at once, and returns their number. The caller must not write to them. Their memory is reused by the next call that
// reads.
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

// Records returns an iterator over the records as they come. A record must not be written to, and is valid only during
// its iteration. The sequence ends with an error when ctx is done, or when Read would return one. When the loop ends
// early, the next call that reads returns the remaining records.
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

// take returns the next record of a batch. The batch must have one.
func (r *RingBufReader) take(b *batch) Record {
	data, _ := b.next()
	return Record{data, r.maps[b.source]}
}

// SetDeadline sets the time after which calls that wait, also those that are waiting already, return
// os.ErrDeadlineExceeded (errors.Is). The zero time means no deadline.
func (r *RingBufReader) SetDeadline(deadline time.Time) {
	r.in().setDeadline(deadline)
}

// SetPollInterval makes waiting calls also read records without a wake-up, at this interval. 0, the default, disables
// that.
func (r *RingBufReader) SetPollInterval(interval time.Duration) {
	r.in().setInterval(max(interval, 0))
}

// Flush makes the waiting call, or the next call that would wait, return [ErrFlushed] after all records that are
// present have been read.
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

// EpollFD returns a descriptor that is readable while the kernel's rings contain records. It belongs to the reader,
// and is -1 once the reader is closed. It isn't suited to the runtime's poller, which is edge-triggered.
//
// Implements: ring_buffer__epoll_fd
func (r *RingBufReader) EpollFD() int {
	return r.in().epollFD()
}

// BufferSize returns the total size in bytes of all rings.
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

// AvailableBytes returns the number of bytes that can be read, including the records' headers of 8 bytes.
func (r *RingBufReader) AvailableBytes() (int, error) {
	defer runtime.KeepAlive(r)
	return r.in().availableBytes()
}

// Consume calls f for each record that is present, without waiting. Records that come during the call may be included
// or not. It stops when f returns an error. It returns the number of calls and f's error. A record is valid only
// during the call of f.
//
// Implements: ring_buffer__consume
func (r *RingBufReader) Consume(f func(Record) error) (int, error) {
	return r.consume(-1, math.MaxInt, f)
}

// ConsumeN is Consume for at most n records. It corresponds to ring_buffer__consume_n, but works with every version of
// libbpf.
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

// A Ring is the ring of one of a reader's maps. Positions are in bytes and never decrease.
type Ring struct {
	reader *RingBufReader
	index  int
}

// in returns the ring's reader. For a nil or zero Ring, it returns nil.
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

// ConsumerPos returns the position up to which the process has read the ring. It needs libbpf 1.3.
//
// Implements: ring__consumer_pos
func (r *Ring) ConsumerPos() (uint64, error) {
	return r.use(needLibbpf(1, 3, "ring__consumer_pos"), func(c *C.struct_ring) uint64 { return uint64(C.ring__consumer_pos(c)) })
}

// ProducerPos returns the position up to which BPF programs have reserved records. It needs libbpf 1.3.
//
// Implements: ring__producer_pos
func (r *Ring) ProducerPos() (uint64, error) {
	return r.use(needLibbpf(1, 3, "ring__producer_pos"), func(c *C.struct_ring) uint64 { return uint64(C.ring__producer_pos(c)) })
}

// AvailDataSize returns the number of bytes between the two positions. It needs libbpf 1.3.
//
// Implements: ring__avail_data_size
func (r *Ring) AvailDataSize() (uint64, error) {
	return r.use(needLibbpf(1, 3, "ring__avail_data_size"), func(c *C.struct_ring) uint64 { return uint64(C.ring__avail_data_size(c)) })
}

// Size returns the ring's size in bytes. It needs libbpf 1.3.
//
// Implements: ring__size
func (r *Ring) Size() (uint64, error) {
	return r.use(needLibbpf(1, 3, "ring__size"), func(c *C.struct_ring) uint64 { return uint64(C.ring__size(c)) })
}

// use runs call as a shared call of the reader's guard, unless the linked libbpf is too old for it.
func (r *Ring) use(tooOld error, call func(*C.struct_ring) uint64) (value uint64, err error) {
	defer runtime.KeepAlive(r)
	reader := r.in().in()
	err = reader.use("look at "+reader.what, func() error {
		if tooOld != nil {
			return tooOld
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

// MapFD returns the descriptor of the ring's map. It belongs to the map, and is -1 once the map is closed.
func (r *Ring) MapFD() int {
	if r.in() == nil {
		return -1
	}
	return r.Map().FileDescriptor()
}

// Consume is [RingBufReader.Consume] for this ring only.
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
