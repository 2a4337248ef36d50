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

// A PerfBuffer sends the events of a perf event array (BPF_MAP_TYPE_PERF_EVENT_ARRAY, Linux 4.3) to channels.
// [Module.InitPerfBuf] creates it, and [PerfBuffer.Poll] starts it. [PerfBuffer.Stop] or [PerfBuffer.Close] ends it
// and closes the channels.
//
// Each slice that arrives belongs to the receiver, which may keep and change it. The kernel pads events: up to 7 bytes
// follow what the program has sent. Events of one CPU arrive in their order. While the receiver is slow, the kernel
// drops events and counts them. A slice shares its memory with up to 64 KiB of other events, so copy an event that is
// kept for long.
//
// A buffer that waits blocks no thread. All methods may be called from several goroutines. [PerfReader] also reports
// an event's CPU.
type PerfBuffer struct {
	module *Module // keeps the module alive, used for nothing else
	feeder *feeder
}

// InitPerfBuf creates a buffer. Once [PerfBuffer.Poll] is called, it sends the events of the map mapName to eventsChan
// and the numbers of lost events to lostChan, which may be nil. The object must be loaded. Each CPU that is online
// gets a buffer of pageCnt pages, a power of two. Numbers of lost events that nobody receives are added up; they don't
// block the events.
//
// If another buffer or the program closes one of the channels, the buffer ends with an error, see [PerfBuffer.Err].
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

// bpfOutput returns the attributes of the perf event that receives what BPF programs send. It wakes its reader after
// every wakeupEvents events.
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

// in returns the feeder of the channels. For a nil or zero buffer, it returns one that is closed.
func (pb *PerfBuffer) in() *feeder {
	if pb == nil || pb.feeder == nil {
		return noFeeder
	}
	return pb.feeder
}

// Poll starts to send events to the channels and returns at once. If timeout is greater than 0, the buffers are also
// read whenever timeout milliseconds have passed without an event.
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

// Stop ends the polling and closes the channels. It doesn't wait for receivers. Before Poll, and when called again, it
// does nothing.
func (pb *PerfBuffer) Stop() {
	pb.in().stop()
}

// Close stops the polling and frees the buffer with the events in it. Closing again does nothing.
//
// Implements: perf_buffer__free
func (pb *PerfBuffer) Close() {
	pb.in().close()
}

// Err returns the error that ended the polling and closed the channels. It is nil while the polling goes on, and if
// Stop or Close has ended it.
func (pb *PerfBuffer) Err() error {
	return pb.in().failure()
}

// A PerfRecord is an event of a perf event array, or the number of events that were lost.
type PerfRecord struct {
	CPU int
	// RawSample is what the program has sent, followed by up to 7 bytes of padding. It is empty if the record reports
	// lost events (LostSamples).
	RawSample []byte
	// LostSamples is the number of events that were lost since the last one that was read, because the CPU's buffer
	// was full.
	LostSamples uint64
	// Remaining is the number of bytes that followed the event in the CPU's buffer when the reader last read from it.
	Remaining int
}

// PerfReaderOptions are the options of [NewPerfReader]. The zero value means 8 pages and a wake-up for each event.
type PerfReaderOptions struct {
	// Pages is the size of each CPU's buffer in pages, a power of two.
	Pages int
	// WakeupEvents is the number of events of a CPU after which a waiting call is woken. Fewer events are read before
	// a deadline or a flush takes effect; see also [PerfReader.SetPollInterval].
	WakeupEvents int
}

// A PerfReader reads the events of a perf event array (BPF_MAP_TYPE_PERF_EVENT_ARRAY, Linux 4.3). Events of one CPU
// come in their order; the CPUs take turns. A CPU that is offline when the reader is created has no buffer: on that
// CPU, the program's bpf_perf_event_output() fails.
//
// When a CPU goes offline, the kernel permanently removes its perf event. When the kernel announces that the CPU is
// online again, the reader opens a new event; until then, bpf_perf_event_output() on that CPU fails with EOPNOTSUPP.
// If the event can't be opened, for example because the process has dropped its rights, one read returns an error that
// reports this. The kernel announces CPUs to network namespaces of the first user namespace only, and doesn't announce
// those that were switched off for a suspend.
//
// A read that waits blocks no thread. The reader takes at most 64 KiB at a time out of the buffers, or a single larger
// event, so its memory is bounded. Close may be called at any time. After it, all methods return os.ErrClosed
// (errors.Is); closing the module closes the reader. Close discards events that were not read.
//
// All methods may be called from several goroutines. The events of ReadBatch and of Records are valid only until the
// next call that reads.
type PerfReader struct {
	reader *reader
	// bpfMap keeps its module alive. So methods must keep the PerfReader alive (runtime.KeepAlive) until their calls
	// of C have returned.
	bpfMap *BPFMap
	pages  int // size of each CPU's buffer
}

// in returns the internal reader. For a nil or zero PerfReader, it returns one that is closed.
func (r *PerfReader) in() *reader {
	if r == nil || r.reader == nil {
		return noPerfReader
	}
	return r.reader
}

// NewPerfReader returns a reader of the map. The map must have been created by the load. A map can have one reader at
// a time.
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

// Read waits for the next event. The event belongs to the caller. Its memory is shared with up to 64 KiB of other
// events, so copy an event that is kept for long.
//
// If a deadline passes without an event, the error is os.ErrDeadlineExceeded (errors.Is); after Flush, it is
// [ErrFlushed]. Reading can continue after both.
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

// ReadInto is Read, but copies the event into the memory of record.RawSample, which it enlarges if necessary. It
// allocates no other memory.
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

// ReadBatch waits like Read. It then fills records with present events of one CPU, as many as it takes from the buffer
// at once, and returns their number. The caller must not write to the events. Their memory is reused by the next call
// that reads.
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

// Records returns an iterator over the events as they come. An event must not be written to, and is valid only during
// its iteration. The sequence ends with an error when ctx is done, or when Read would return one. When the loop ends
// early, the next call that reads returns the remaining events.
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

// Consume calls f for each event that is present, without waiting. Events that come during the call may be included or
// not. It stops when f returns an error. It returns the number of calls and f's error. An event is valid only during
// the call of f.
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

// ConsumeBuffer is Consume for one CPU's buffer, the one with that index.
//
// Implements: perf_buffer__consume_buffer
func (r *PerfReader) ConsumeBuffer(index int, f func(PerfRecord) error) (int, error) {
	if err := r.checkIndex(index); err != nil {
		return 0, err
	}
	return r.consume(index, f)
}

// SetDeadline sets the time after which calls that wait, also those that are waiting already, return
// os.ErrDeadlineExceeded (errors.Is). The zero time means no deadline.
func (r *PerfReader) SetDeadline(deadline time.Time) {
	r.in().setDeadline(deadline)
}

// SetPollInterval makes waiting calls also read events without a wake-up, at this interval. 0, the default, disables
// that.
func (r *PerfReader) SetPollInterval(interval time.Duration) {
	r.in().setInterval(max(interval, 0))
}

// Flush makes the waiting call, or the next call that would wait, return [ErrFlushed] after all events that are
// present have been read.
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

// Map returns the map. For a nil or zero reader, it returns nil.
func (r *PerfReader) Map() *BPFMap {
	if r == nil {
		return nil
	}
	return r.bpfMap
}

// EpollFD returns a descriptor that becomes readable when events come. It belongs to the reader, and is -1 once the
// reader is closed. The kernel reports each event to one poller only: a waiting call of the reader, or another poller,
// may receive the report instead.
//
// Implements: perf_buffer__epoll_fd
func (r *PerfReader) EpollFD() int {
	return r.in().epollFD()
}

// BufferCount returns the number of buffers, one for each CPU. It is 0 after Close.
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

// BufferSize returns the total size in bytes of all CPUs' buffers. It is 0 after Close.
func (r *PerfReader) BufferSize() int {
	n := r.BufferCount()
	if n == 0 {
		return 0
	}
	return n * r.pages * os.Getpagesize()
}

// AvailableBytes returns the number of bytes that can be read, including the events' headers.
func (r *PerfReader) AvailableBytes() (int, error) {
	defer runtime.KeepAlive(r)
	return r.in().availableBytes()
}

// BufferFD returns the descriptor of the perf event of the buffer with that index. It belongs to the reader.
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

// Buffer returns the memory to which the kernel writes the events of the buffer with that index: a page with the
// positions (struct perf_event_mmap_page), and the ring. A caller that reads events from this memory must not call the
// reader's own reading methods.
//
// After Buffer was called, the caller must close the reader or its module: the garbage collector closes neither. After
// Close, the memory reads as zero and is no longer connected to the kernel. It can still be read and written; its
// addresses, but no memory, stay reserved until the process ends.
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

// lend maps the memory of a perf event a second time, because libbpf unmaps its own mapping when the reader is closed.
// Until then, the reader keeps the value keep alive: the reader belongs to an object, which is reachable while it is
// open.
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

// takeBack replaces the memory that lend has mapped by empty private memory.
func (r *reader) takeBack() {
	r.state.Lock()
	defer r.state.Unlock()
	for _, memory := range r.lent {
		// If this fails, the buffer stays mapped.
		_, _ = unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(memory)), uintptr(len(memory)), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	}
	r.lent, r.keep = nil, nil
}

func (r *PerfReader) checkIndex(index int) error {
	return r.buffer(index, func(*C.struct_perf_buffer) C.int { return 0 })
}

// buffer runs call if there is a buffer with that index.
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

// A RawPerfEvent is a perf event as the kernel has written it to the buffer.
type RawPerfEvent struct {
	Type uint32 // for example unix.PERF_RECORD_SAMPLE
	Misc uint16
	// Data is the part after the header (struct perf_event_header). Its format depends on Type and on the perf event's
	// attributes.
	Data []byte
}

// PerfEventRet is the result of a function that handles perf events. It decides how the call continues (enum
// bpf_perf_event_ret).
type PerfEventRet int

// The results of a function that handles perf events.
const (
	PerfEventDone  PerfEventRet = C.LIBBPF_PERF_EVENT_DONE  // end the call, the other events stay
	PerfEventError PerfEventRet = C.LIBBPF_PERF_EVENT_ERROR // end the call with ErrPerfEvent
	PerfEventCont  PerfEventRet = C.LIBBPF_PERF_EVENT_CONT  // continue with the next event
)

// ErrPerfEvent is the error of a call whose function has returned [PerfEventError].
var ErrPerfEvent = errors.New("function returned an error for a perf event")

// PerfBufferRawOptions are the options of [NewPerfBufferRaw].
type PerfBufferRawOptions struct {
	// Pages is the size of each CPU's buffer in pages, a power of two.
	Pages int
	// Attr are the attributes of the perf events to open. Its Size may be 0.
	Attr unix.PerfEventAttr
	// CPUs are the CPUs that get a buffer. MapKeys, of the same length, are the keys under which their perf events are
	// stored in the map. If both are empty, each CPU that is online gets a buffer, under its own number.
	CPUs, MapKeys []int
}

// A PerfBufferRaw passes each event of a perf event array to a function, unchanged and with its header. Lifetime,
// waiting, and use by several goroutines are as for [PerfReader].
type PerfBufferRaw struct {
	buffers PerfReader
	f       func(cpu int, event RawPerfEvent) PerfEventRet
}

// NewPerfBufferRaw returns a raw perf buffer. Poll, Consume and ConsumeBuffer call f for each event, on the goroutine
// of their caller.
//
// Implements: perf_buffer__new_raw
func NewPerfBufferRaw(bpfMap *BPFMap, opts PerfBufferRawOptions, f func(cpu int, event RawPerfEvent) PerfEventRet) (*PerfBufferRaw, error) {
	if f == nil {
		return nil, failed(errNoFunction, "make perf buffer")
	}
	attr := opts.Attr // a copy, because C must not get memory that has Go pointers beside it
	if attr.Size == 0 {
		attr.Size = uint32(unsafe.Sizeof(attr))
	}
	r, err := newPerfReader(bpfMap, opts.Pages, &attr, opts.CPUs, opts.MapKeys, true)
	if err != nil {
		return nil, err
	}
	return &PerfBufferRaw{PerfReader{r, bpfMap, opts.Pages}, f}, nil
}

// in returns the buffers' reader, or nil for nil.
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

// Poll waits until there are events, calls the function for all that are present, and returns their number. If timeout
// isn't negative, Poll waits no longer than that. A deadline or a flush ends the wait with its error.
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

// Consume calls the function for the events that are present, without waiting, and returns their number. If the
// function returns [PerfEventDone] or [PerfEventError], Consume stops, and the other events are left for the next
// call. After PerfEventError, the error is [ErrPerfEvent] (errors.Is).
//
// Implements: perf_buffer__consume
func (p *PerfBufferRaw) Consume() (int, error) {
	return p.consumeRaw(-1)
}

// ConsumeBuffer is Consume for one CPU's buffer, the one with that index.
//
// Implements: perf_buffer__consume_buffer
func (p *PerfBufferRaw) ConsumeBuffer(index int) (int, error) {
	if err := p.in().checkIndex(index); err != nil {
		return 0, err
	}
	return p.consumeRaw(index)
}

// errPerfDone ends a call early, without an error.
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
