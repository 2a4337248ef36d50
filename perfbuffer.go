package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A PerfBuffer moves the events of a perf event array (BPF_MAP_TYPE_PERF_EVENT_ARRAY, Linux 4.3) into
// channels. It is made by [Module.InitPerfBuf], started by [PerfBuffer.Poll], and ended by
// [PerfBuffer.Stop] or [PerfBuffer.Close], which close the channels.
//
// Each slice that arrives belongs to the receiver, who may keep and change it; its length is that of
// what the program has sent plus 4, rounded up to 8, less 4, as the kernel has it. Events of one CPU
// arrive in their order. While the receiver is slow, the kernel drops events and counts them. A slice
// shares its memory with up to 64 KiB of its neighbours: copy what is to be kept for long.
//
// No thread is held while it waits. All methods may be called from several goroutines. [PerfReader]
// tells the CPU, too.
type PerfBuffer struct {
	module *Module
	feeder *feeder
}

// InitPerfBuf makes a buffer that sends the events of the map mapName to eventsChan and the numbers of
// lost ones to lostChan, which may be nil, once [PerfBuffer.Poll] is called. The object must be loaded.
// Each CPU that is online gets pageCnt pages of memory, a power of two. Numbers of lost events that
// nobody receives hold up no event; they are added up.
//
// A channel that another buffer closes, or anybody else, ends the buffer with an error, see
// [PerfBuffer.Err].
//
// Implements: perf_buffer__new
func (m *Module) InitPerfBuf(mapName string, eventsChan chan []byte, lostChan chan uint64, pageCnt int) (*PerfBuffer, error) {
	what := fmt.Sprintf("make perf buffer of map %q", mapName)
	if eventsChan == nil {
		return nil, failed(fmt.Errorf("nil channel: %w", syscall.EINVAL), what)
	}
	bpfMap, err := m.GetMap(mapName)
	if err != nil {
		return nil, failed(err, what)
	}
	r, err := newPerfReader(bpfMap, pageCnt, bpfOutput(1), nil, nil, false)
	if err != nil {
		return nil, err
	}
	feeder, err := newFeeder(m, newFeed(r, eventsChan, lostChan))
	if err != nil {
		return nil, err
	}
	return &PerfBuffer{module: m, feeder: feeder}, nil
}

// bpfOutput returns the attributes of the perf event that takes what BPF programs send, and wakes its
// reader each time that many have come.
func bpfOutput(wakeupEvents int) *unix.PerfEventAttr {
	return &unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Config:      unix.PERF_COUNT_SW_BPF_OUTPUT,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample_type: unix.PERF_SAMPLE_RAW,
		Sample:      uint64(wakeupEvents),
		Wakeup:      uint32(wakeupEvents),
	}
}

func newPerfReader(bpfMap *BPFMap, pages int, attr *unix.PerfEventAttr, cpus, keys []int, raw bool) (*reader, error) {
	const kind = "perf buffer"
	if pages <= 0 || pages&(pages-1) != 0 {
		return nil, failed(fmt.Errorf("%d pages are no power of two: %w", pages, syscall.EINVAL), "make "+kind)
	}
	if pages > math.MaxInt32/os.Getpagesize() {
		return nil, failed(fmt.Errorf("%d pages for each CPU: %w", pages, syscall.E2BIG), "make "+kind)
	}
	if len(cpus) != len(keys) {
		return nil, failed(fmt.Errorf("%d CPUs and %d keys of the map: %w", len(cpus), len(keys), syscall.EINVAL), "make "+kind)
	}
	cpusC, err := cInts(cpus, "CPU")
	if err != nil {
		return nil, failed(err, "make "+kind)
	}
	keysC, err := cInts(keys, "key of the map")
	if err != nil {
		return nil, failed(err, "make "+kind)
	}
	events := &perfEvents{attr: *attr, cpus: slices.Clone(cpus), keys: slices.Clone(keys), reopened: make(map[int]int)}
	return newReader(kind, []*BPFMap{bpfMap}, events, func(c *C.struct_golibbpf_reader, fd C.int) C.int {
		events.array = fd
		return C.golibbpf_reader_add_perf(c, fd, C.size_t(pages), unsafe.Pointer(attr),
			unsafe.SliceData(cpusC), unsafe.SliceData(keysC), C.int(len(cpusC)), C.bool(raw))
	})
}

// in returns what feeds the channels; for nil and the zero value, a feeder that is closed.
func (pb *PerfBuffer) in() *feeder {
	if pb == nil || pb.feeder == nil {
		return noFeeder
	}
	return pb.feeder
}

// Poll starts to send events to the channels and returns at once. Whenever timeout milliseconds have
// passed without an event, if that is greater than 0, the buffers are looked at all the same.
//
// A second call, or one after Stop, does nothing.
//
// Implements: perf_buffer__poll
func (pb *PerfBuffer) Poll(timeout int) {
	pb.in().poll(pb, time.Duration(min(timeout, math.MaxInt32))*time.Millisecond)
}

// Start is Poll(300).
//
// Deprecated: use [PerfBuffer.Poll].
func (pb *PerfBuffer) Start() {
	pb.Poll(300)
}

// Stop ends the polling and closes the channels. It doesn't wait for receivers. Without Poll, or
// when called again, it does nothing.
func (pb *PerfBuffer) Stop() {
	pb.in().stop()
}

// Close stops the polling and frees the buffer with what is in it. Closing again does nothing.
//
// Implements: perf_buffer__free
func (pb *PerfBuffer) Close() {
	pb.in().close()
}

// Err returns the error that ended the polling and closed the channels; nil while it goes on and
// if it was ended by Stop or Close.
func (pb *PerfBuffer) Err() error {
	return pb.in().failure()
}

// A PerfRecord is an event of a perf event array, or tells how many were lost.
type PerfRecord struct {
	CPU int
	// RawSample is what the program has sent and, at the end, up to 7 bytes of padding; empty if events
	// were lost, which LostSamples tells.
	RawSample []byte
	// LostSamples is how many events the CPU's buffer had no room for, since the last that was read.
	LostSamples uint64
	// Remaining is how many bytes the CPU's buffer held behind the event when it was last looked at.
	Remaining int
}

// PerfReaderOptions are the options of [NewPerfReader]. The zero value is 8 pages, and a wake-up by each
// event.
type PerfReaderOptions struct {
	// Pages is the size of each CPU's buffer in pages, a power of two.
	Pages int
	// WakeupEvents is how many events of a CPU have to come before a call that waits is woken. Fewer
	// are read before a deadline or a flush takes effect, and see [PerfReader.SetPollInterval].
	WakeupEvents int
}

// A PerfReader reads the events of a perf event array (BPF_MAP_TYPE_PERF_EVENT_ARRAY, Linux 4.3). Events
// of one CPU come in their order; the CPUs take turns. A CPU that was offline when the reader was made
// has no buffer: the program's bpf_perf_event_output() fails there.
//
// When a CPU goes offline, the kernel drops its perf event for good. The reader opens it anew as soon as the
// kernel announces that the CPU is online again; until then, bpf_perf_event_output() fails there with
// EOPNOTSUPP. If that can't be done, as when the process has given up its rights, a read returns an
// error that says so, once. The kernel announces CPUs to network namespaces of the
// first user namespace, but not when it has switched them off for suspend.
//
// Reading doesn't hold a thread while it waits. One look takes no more than 64 KiB out of the buffers, or a single
// larger event, so a reader's memory is bounded. After Close, which may be called at any time, all
// methods return an error for which errors.Is(err, os.ErrClosed) holds; closing the module closes the
// reader. Events that were not read are gone then.
//
// All methods may be called from several goroutines, except that the events of ReadBatch and of Records
// are valid only until the next call that reads.
type PerfReader struct {
	reader *reader
	// bpfMap holds its module: a method whose call must not see the module closed by the garbage collector
	// keeps the PerfReader alive.
	bpfMap *BPFMap
	pages  int // of each CPU's buffer
}

// in returns what reads; for nil and the zero value, a reader that is closed.
func (r *PerfReader) in() *reader {
	if r == nil || r.reader == nil {
		return noPerfReader
	}
	return r.reader
}

// NewPerfReader returns a reader of the map, which must be created. A map has one reader at a time.
//
// Implements: perf_buffer__new
func NewPerfReader(bpfMap *BPFMap, opts PerfReaderOptions) (*PerfReader, error) {
	if opts.Pages == 0 {
		opts.Pages = 8
	}
	if opts.WakeupEvents == 0 {
		opts.WakeupEvents = 1
	}
	if int64(opts.WakeupEvents) < 0 || int64(opts.WakeupEvents) > math.MaxUint32 {
		return nil, failed(fmt.Errorf("wake-ups every %d events: %w", opts.WakeupEvents, syscall.EINVAL), "make perf buffer")
	}
	r, err := newPerfReader(bpfMap, opts.Pages, bpfOutput(opts.WakeupEvents), nil, nil, false)
	if err != nil {
		return nil, err
	}
	return &PerfReader{r, bpfMap, opts.Pages}, nil
}

// Read waits for the next event, which belongs to the caller. Its memory is shared with up to 64 KiB of
// its neighbours: copy what is to be kept for long.
//
// If there is none when a deadline has passed, errors.Is(err, os.ErrDeadlineExceeded) holds, and
// [ErrFlushed] after Flush; reading can go on afterwards.
//
// Implements: perf_buffer__poll
func (r *PerfReader) Read() (PerfRecord, error) {
	for {
		if data, from, ok := r.in().window.Load().take(nil); ok {
			return PerfRecord{CPU: from.cpu, RawSample: data, Remaining: from.behind}, nil
		}
		lost, err := r.in().offer(false)
		runtime.KeepAlive(r)
		if err != nil || lost.events > 0 {
			return PerfRecord{CPU: lost.cpu, LostSamples: lost.events}, err
		}
	}
}

// ReadInto is Read into the memory of record.RawSample, which is enlarged if need be. It allocates
// nothing otherwise.
func (r *PerfReader) ReadInto(record *PerfRecord) error {
	if record == nil {
		return failed(fmt.Errorf("nil record: %w", syscall.EINVAL), "read "+r.in().what)
	}
	for {
		if _, from, ok := r.in().window.Load().take(&record.RawSample); ok {
			record.CPU, record.Remaining, record.LostSamples = from.cpu, from.behind, 0
			return nil
		}
		lost, err := r.in().offer(true)
		runtime.KeepAlive(r)
		if err != nil {
			return err
		}
		if lost.events > 0 {
			*record = PerfRecord{CPU: lost.cpu, RawSample: record.RawSample[:0], LostSamples: lost.events}
			return nil
		}
	}
}

// ReadBatch waits like Read and then fills records with what is there, as far as one look at one of the
// CPUs has found it, and returns their number. They are to be read only, and their memory is used again by
// the next call that reads.
func (r *PerfReader) ReadBatch(records []PerfRecord) (int, error) {
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
	n := 0
	for ; n < len(records) && b.from < b.count(); n++ {
		record := &records[n]
		record.CPU, record.LostSamples = b.cpu, 0
		record.RawSample, record.Remaining = b.next()
	}
	if n < len(records) && b.pending() {
		records[n] = takePerf(b)
		n++
	}
	return n, nil
}

// Records returns the events as they come, each to be read only and valid only for its turn. The sequence
// ends, with an error, when ctx is done or for the reasons for which Read returns one. When the loop is left, the
// events that it has not seen are there for the next call that reads.
func (r *PerfReader) Records(ctx context.Context) iter.Seq2[PerfRecord, error] {
	return func(yield func(PerfRecord, error) bool) {
		defer runtime.KeepAlive(r)
		for b, err := range r.in().batches(ctx) {
			if err != nil {
				yield(PerfRecord{}, err)
				return
			}
			record := PerfRecord{CPU: b.cpu}
			for b.from < b.count() {
				record.RawSample, record.Remaining = b.next()
				if !yield(record, nil) {
					return
				}
			}
			if b.pending() && !yield(takePerf(b), nil) {
				return
			}
		}
	}
}

// takePerf returns the next event of a batch that has one.
func takePerf(b *batch) PerfRecord {
	if b.from < b.count() {
		data, behind := b.next()
		return PerfRecord{CPU: b.cpu, RawSample: data, Remaining: behind}
	}
	lost := b.lost
	b.lost = 0
	return PerfRecord{CPU: b.cpu, LostSamples: lost}
}

// Consume calls f for each event that is there when it is called, or a few that come meanwhile, without
// waiting, until f returns an error, which it returns with the number of calls. An event is valid only during
// the call.
//
// Implements: perf_buffer__consume
func (r *PerfReader) Consume(f func(PerfRecord) error) (int, error) {
	return r.consume(-1, f)
}

func (r *PerfReader) consume(only int, f func(PerfRecord) error) (int, error) {
	defer runtime.KeepAlive(r)
	if f == nil {
		return 0, failed(errNoFunction, "read "+r.in().what)
	}
	return r.in().each(only, math.MaxInt, func(b *batch) error { return f(takePerf(b)) })
}

// ConsumeBuffer is Consume of the buffer of that index alone.
//
// Implements: perf_buffer__consume_buffer
func (r *PerfReader) ConsumeBuffer(index int, f func(PerfRecord) error) (int, error) {
	if err := r.checkIndex(index); err != nil {
		return 0, err
	}
	return r.consume(index, f)
}

// SetDeadline makes calls that wait, also those that wait already, return once it has passed with an
// error for which errors.Is(err, os.ErrDeadlineExceeded) holds. The zero time is no deadline.
func (r *PerfReader) SetDeadline(deadline time.Time) {
	r.in().setDeadline(deadline)
}

// SetPollInterval makes calls that wait look for events that were not announced, whenever interval has
// passed; 0, the default, is never.
func (r *PerfReader) SetPollInterval(interval time.Duration) {
	r.in().setInterval(max(interval, 0))
}

// Flush makes the call that waits, or else the next one that would, return [ErrFlushed] after everything
// that is there has been read.
func (r *PerfReader) Flush() {
	r.in().flush()
}

// Close ends the reading and frees the buffers. Closing again does nothing.
//
// Implements: perf_buffer__free
func (r *PerfReader) Close() error {
	r.in().free()
	return nil
}

// Map returns the map; nil if the reader was not made.
func (r *PerfReader) Map() *BPFMap {
	if r == nil {
		return nil
	}
	return r.bpfMap
}

// EpollFD returns a descriptor, which belongs to the reader, that becomes readable when events come; -1
// once it is closed. The kernel tells one poller of each event: a call of the reader's that has waited, or
// another poller, may take the news.
//
// Implements: perf_buffer__epoll_fd
func (r *PerfReader) EpollFD() int {
	return r.in().epollFD()
}

// BufferCount returns how many buffers there are, one for each CPU; 0 after Close.
//
// Implements: perf_buffer__buffer_cnt
func (r *PerfReader) BufferCount() int {
	defer runtime.KeepAlive(r)
	n, err := r.in().sourceCount()
	if err != nil {
		return 0
	}
	return n
}

// BufferSize returns the size in bytes of all CPUs' buffers together; 0 after Close.
func (r *PerfReader) BufferSize() int {
	n := r.BufferCount()
	if n == 0 {
		return 0
	}
	return n * r.pages * os.Getpagesize()
}

// AvailableBytes returns how many bytes there are to be read, with the events' headers.
func (r *PerfReader) AvailableBytes() (int, error) {
	defer runtime.KeepAlive(r)
	return r.in().availableBytes()
}

// BufferFD returns the descriptor, which belongs to the reader, of the perf event behind the buffer of
// that index.
//
// Implements: perf_buffer__buffer_fd
func (r *PerfReader) BufferFD(index int) (int, error) {
	fd := C.int(-1)
	err := r.buffer(index, func(pb *C.struct_perf_buffer) C.int {
		fd = C.perf_buffer__buffer_fd(pb, C.size_t(index))
		return fd
	})
	if err != nil {
		return -1, err
	}
	return int(fd), nil
}

// Buffer returns the memory that the kernel writes events to, for the buffer of that index: a page with
// the positions (struct perf_event_mmap_page), and the ring. Who reads it by himself must use nothing else
// of the reader that reads.
//
// The reader must be closed, or its module: once Buffer was called, the garbage collector closes neither.
// After Close, the memory is all zero and has nothing to do with the kernel any more. It can still be read and
// written; its addresses, but no memory, stay taken until the process ends.
//
// Implements: perf_buffer__buffer
func (r *PerfReader) Buffer(index int) (memory []byte, err error) {
	err = r.buffer(index, func(pb *C.struct_perf_buffer) C.int {
		var address unsafe.Pointer
		var size C.size_t
		if err := C.perf_buffer__buffer(pb, C.int(index), &address, &size); err != 0 {
			return err
		}
		fd := C.perf_buffer__buffer_fd(pb, C.size_t(index))
		var errno syscall.Errno
		memory, errno = r.in().lend(index, int(fd), int(size)+os.Getpagesize(), r.bpfMap)
		return -C.int(errno)
	})
	return memory, err
}

// lend maps the memory behind a perf event once more, as libbpf unmaps its own when the reader is closed. Until
// then keep is reachable: the reader belongs to an object, which is reachable while it is open.
func (r *reader) lend(index, fd, size int, keep any) ([]byte, syscall.Errno) {
	r.state.Lock()
	defer r.state.Unlock()
	if memory := r.lent[index]; memory != nil {
		return memory, 0
	}
	address, err := unix.MmapPtr(fd, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if errno, ok := err.(syscall.Errno); ok {
		return nil, errno
	}
	if r.lent == nil {
		r.lent = make(map[int][]byte)
	}
	r.lent[index] = unsafe.Slice((*byte)(address), size)
	r.keep = keep
	return r.lent[index], 0
}

// takeBack puts memory of nobody's into the place of what lend has mapped.
func (r *reader) takeBack() {
	r.state.Lock()
	defer r.state.Unlock()
	for _, memory := range r.lent {
		// Without it, the buffer stays.
		_, _ = unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(memory)), uintptr(len(memory)), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	}
	r.lent, r.keep = nil, nil
}

func (r *PerfReader) checkIndex(index int) error {
	return r.buffer(index, func(*C.struct_perf_buffer) C.int { return 0 })
}

// buffer runs a call about the buffer of that index.
func (r *PerfReader) buffer(index int, call func(*C.struct_perf_buffer) C.int) error {
	defer runtime.KeepAlive(r)
	what := fmt.Sprintf("look at buffer %d of %s", index, r.in().what)
	if err := r.in().enter(); err != nil {
		return failed(err, what)
	}
	defer r.in().exit()
	pb := r.in().sources()[0].pb
	if n := int(C.perf_buffer__buffer_cnt(pb)); index < 0 || index >= n {
		return failed(fmt.Errorf("there are %d: %w", n, syscall.EINVAL), what)
	}
	return failed(codeOf(call(pb)), what)
}

// A RawPerfEvent is one of the kernel's perf events as it stands in the buffer.
type RawPerfEvent struct {
	Type uint32 // such as unix.PERF_RECORD_SAMPLE
	Misc uint16
	// Data is what follows the header (struct perf_event_header); its format depends on Type and on
	// the perf event's attributes.
	Data []byte
}

// PerfEventRet is what a function that gets perf events says about the rest of them (enum
// bpf_perf_event_ret).
type PerfEventRet int

// What can be said about the rest of the events.
const (
	PerfEventDone  PerfEventRet = C.LIBBPF_PERF_EVENT_DONE  // no more of them for now
	PerfEventError PerfEventRet = C.LIBBPF_PERF_EVENT_ERROR // no more, and that is an error
	PerfEventCont  PerfEventRet = C.LIBBPF_PERF_EVENT_CONT  // go on
)

// ErrPerfEvent is the error of a call whose function has returned [PerfEventError].
var ErrPerfEvent = errors.New("function returned an error for a perf event")

// PerfBufferRawOptions are the options of [NewPerfBufferRaw].
type PerfBufferRawOptions struct {
	// Pages is the size of each CPU's buffer in pages, a power of two.
	Pages int
	// Attr says what perf events are opened. Its Size may be left 0.
	Attr unix.PerfEventAttr
	// CPUs are those that get a buffer, and MapKeys, of the same number, the map's elements that it is
	// put into. Without any, each CPU that is online gets one under its own number.
	CPUs, MapKeys []int
}

// A PerfBufferRaw hands each event of a perf event array as it is, with its header, to a function. What
// is said about [PerfReader] holds for it.
type PerfBufferRaw struct {
	buffers PerfReader
	f       func(cpu int, event RawPerfEvent) PerfEventRet
}

// NewPerfBufferRaw returns the raw form of a perf buffer, whose events are handed to f by Poll, Consume
// and ConsumeBuffer, on the goroutine that calls these.
//
// Implements: perf_buffer__new_raw
func NewPerfBufferRaw(bpfMap *BPFMap, opts PerfBufferRawOptions, f func(cpu int, event RawPerfEvent) PerfEventRet) (*PerfBufferRaw, error) {
	if f == nil {
		return nil, failed(errNoFunction, "make perf buffer")
	}
	attr := opts.Attr // C must not see the pointers beside it
	if attr.Size == 0 {
		attr.Size = uint32(unsafe.Sizeof(attr))
	}
	r, err := newPerfReader(bpfMap, opts.Pages, &attr, opts.CPUs, opts.MapKeys, true)
	if err != nil {
		return nil, err
	}
	return &PerfBufferRaw{PerfReader{r, bpfMap, opts.Pages}, f}, nil
}

// in returns the buffers; nil for nil.
func (p *PerfBufferRaw) in() *PerfReader {
	if p == nil {
		return nil
	}
	return &p.buffers
}

// SetDeadline is [PerfReader.SetDeadline].
func (p *PerfBufferRaw) SetDeadline(deadline time.Time) { p.in().SetDeadline(deadline) }

// SetPollInterval is [PerfReader.SetPollInterval].
func (p *PerfBufferRaw) SetPollInterval(interval time.Duration) { p.in().SetPollInterval(interval) }

// Flush is [PerfReader.Flush].
func (p *PerfBufferRaw) Flush() { p.in().Flush() }

// Close is [PerfReader.Close].
func (p *PerfBufferRaw) Close() error { return p.in().Close() }

// Map returns the map.
func (p *PerfBufferRaw) Map() *BPFMap { return p.in().Map() }

// EpollFD is [PerfReader.EpollFD].
func (p *PerfBufferRaw) EpollFD() int { return p.in().EpollFD() }

// BufferCount is [PerfReader.BufferCount].
func (p *PerfBufferRaw) BufferCount() int { return p.in().BufferCount() }

// BufferSize is [PerfReader.BufferSize].
func (p *PerfBufferRaw) BufferSize() int { return p.in().BufferSize() }

// AvailableBytes is [PerfReader.AvailableBytes].
func (p *PerfBufferRaw) AvailableBytes() (int, error) { return p.in().AvailableBytes() }

// BufferFD is [PerfReader.BufferFD].
func (p *PerfBufferRaw) BufferFD(index int) (int, error) { return p.in().BufferFD(index) }

// Buffer is [PerfReader.Buffer].
func (p *PerfBufferRaw) Buffer(index int) ([]byte, error) { return p.in().Buffer(index) }

// Poll waits until there are events, but no longer than timeout unless that is negative, hands over all
// that are there, and returns their number. A deadline or a flush ends the wait with its error.
//
// Implements: perf_buffer__poll
func (p *PerfBufferRaw) Poll(timeout time.Duration) (int, error) {
	if timeout >= 0 {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		return p.poll(ctx)
	}
	return p.poll(context.Background())
}

func (p *PerfBufferRaw) poll(ctx context.Context) (int, error) {
	defer runtime.KeepAlive(p)
	err := p.in().in().await(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return p.Consume()
}

// Consume hands over the events that are there when it is called, without waiting, and returns their number. It ends when
// the function says so; what is left is for the next call. After [PerfEventError], the error is
// [ErrPerfEvent].
//
// Implements: perf_buffer__consume
func (p *PerfBufferRaw) Consume() (int, error) {
	return p.consumeRaw(-1)
}

// ConsumeBuffer is Consume of the buffer of that index alone.
//
// Implements: perf_buffer__consume_buffer
func (p *PerfBufferRaw) ConsumeBuffer(index int) (int, error) {
	if err := p.in().checkIndex(index); err != nil {
		return 0, err
	}
	return p.consumeRaw(index)
}

// errPerfDone ends a call without being an error of it.
var errPerfDone = errors.New("done")

func (p *PerfBufferRaw) consumeRaw(only int) (int, error) {
	defer runtime.KeepAlive(p)
	n, err := p.in().in().each(only, math.MaxInt, func(b *batch) error {
		const header = C.sizeof_struct_perf_event_header
		record := takePerf(b)
		event := record.RawSample
		ret := p.f(record.CPU, RawPerfEvent{
			Type: binary.NativeEndian.Uint32(event),
			Misc: binary.NativeEndian.Uint16(event[4:]),
			Data: event[header:],
		})
		switch ret {
		case PerfEventCont:
			return nil
		case PerfEventDone:
			return errPerfDone
		default:
			return failed(ErrPerfEvent, "read "+p.in().in().what)
		}
	})
	if errors.Is(err, errPerfDone) {
		err = nil
	}
	return n, err
}
