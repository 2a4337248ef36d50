package libbpfgo

/*
#cgo noescape golibbpf_reader_consume
#cgo nocallback golibbpf_reader_consume
#include "helpers_cgo.h"
*/
import "C"

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrFlushed is returned by a read after Flush, once everything that was present has been read.
var ErrFlushed = errors.New("buffer was flushed")

// errNoFunction is returned for a nil callback.
var errNoFunction = fmt.Errorf("nil function: %w", syscall.EINVAL)

// A reader takes records in batches from ring buffer maps or from a perf event array. The records of a batch are from
// one map and, for a perf event array, from one CPU.
//
// One goroutine reads at a time. It holds the mutex reading. All other methods may be called at any time.
//
// A reader doesn't refer to a module, so that the cleanup of a dropped module can close it.
type reader struct {
	what    string // for errors, such as `ring buffer of map "events"`
	objects []*object
	unread  []*unread             // one for each ring
	turns   []*unread             // the same, in the order in which they are locked
	fd      int                   // readable when one of libbpf's epoll descriptors is
	look    func(fd uintptr) bool // consume, with the signature for the poller

	guard // of c, which is freed while reading is locked as well
	c     *C.struct_golibbpf_reader

	header int // size of the records' headers, see batch

	events *perfEvents // nil for rings
	// trouble is an error that the next look returns.
	trouble atomic.Pointer[error]

	// window has the records that are handed out without the mutex.
	window atomic.Pointer[window]
	// turn counts the calls of each, which start at different sources in turn.
	turn atomic.Uint32

	reading sync.Mutex
	// impatient counts the goroutines that want reading for a short time although another one waits for records with
	// it: that one lets them have it.
	impatient atomic.Int32

	batch   batch   // its remaining records are still to be handed out
	offered bool    // true if batch's records are in the window
	left    []batch // batches to be handed out before the next look
	reuse   bool    // true if the next batch goes to scratch, whose memory is reused
	more    bool    // true if there may be records without a wake-up
	full    bool    // true if the last look has found more records than it could take
	err     error   // of the last look
	// The next batch goes to scratch and ends. scratch is enlarged to scratchLen bytes when it is used next.
	scratch    []byte
	scratchLen int
	ends       []uint32
	// room is memory for batches whose records are kept. The first used bytes of it are taken.
	room []byte
	used int

	// ended is true once nothing can be read any more.
	ended atomic.Bool

	state sync.Mutex // protects the following fields
	// wake is fd in the runtime's poller. It is created at the first wait, because it takes the news of perf events
	// from all others that poll.
	wake     *os.File
	raw      syscall.RawConn
	deadline time.Time
	interval time.Duration // interval of looks for records without a wake-up; 0 is never
	flushing bool
	armed    time.Time // wake's deadline
	// lent is the memory of perf buffers, by index, that the user has got. keep exists only to keep the module alive
	// as long as there is such memory.
	lent map[int][]byte
	keep any
}

// A batch consists of records in one piece of memory, which are handed out one after the other.
type batch struct {
	data []byte
	// ends has the start of the first record, then the end of each record.
	ends []uint32
	// from is the number of records that were handed out already.
	from int
	// shared is true if the reader will write to the memory again.
	shared bool
	// order is greater than the order of all batches that were taken earlier.
	order uint64

	source int    // index of the ring, or of the CPU's buffer
	cpu    int    // for perf events
	lost   uint64 // events lost after the last record
	// header is the size of the header before each record in the ring.
	header int
	// base is the number of bytes, headers included, from the start of data to the end of the ring's content at the
	// time of the look.
	base int
}

// count returns the number of records that the batch had when it was taken.
func (b *batch) count() int {
	return max(len(b.ends)-1, 0)
}

// pending reports whether there is anything to be handed out.
func (b *batch) pending() bool {
	return b.from < b.count() || b.lost > 0
}

// record returns the next record. Its capacity is its length.
func (b *batch) record() []byte {
	start, end := alignRecord(b.ends[b.from]), b.ends[b.from+1]
	return b.data[start:end:end]
}

// next hands out a record. It also returns the number of bytes that followed it in the ring when the batch was taken.
func (b *batch) next() (record []byte, behind int) {
	record = b.record()
	b.from++
	return record, b.behind(b.from)
}

// behind returns the number of bytes in the ring after the n-th record.
func (b *batch) behind(n int) int {
	return behindRecord(b.base, b.header, b.ends[n], n)
}

// nextBytes returns the number of bytes that the next record or loss took in the ring.
func (b *batch) nextBytes() int {
	if b.from == b.count() {
		return lostBytes
	}
	return b.behind(b.from) - b.behind(b.from+1)
}

// unread returns the number of bytes that the records and losses not handed out took in the ring.
func (b *batch) unread() int {
	size := 0
	if n := b.count(); n > 0 {
		size = b.behind(b.from) - b.behind(n)
	}
	if b.lost > 0 {
		size += lostBytes
	}
	return size
}

const (
	// recordHeader is the size of the header before each record in the ring. A raw event includes its header.
	recordHeader = C.GOLIBBPF_RECORD_HEADER
	// lostBytes is the size of the event that reports lost events.
	lostBytes = 24
)

// behindRecord returns the number of bytes in the ring after the n-th record, which ends at end, of a batch with this
// base and headers of this size.
func behindRecord(base, header int, end uint32, n int) int {
	return base - int(alignRecord(end)) - header*n
}

// A window lets goroutines take single records from a batch without a mutex, by one atomic operation each.
//
// A goroutine reads the record and then sets the state to "taken" by a compare-and-swap. That fails if another
// goroutine was faster. The memory is written again only after all records were taken, under a new generation, so a
// record that was read while its memory was being written is discarded.
type window struct {
	// These fields never change.
	data   []byte
	ends   []uint32
	shared bool
	header int

	// state consists of the generation (32 bits), the number of records (16), and the number of those that were taken
	// (16).
	state             atomic.Uint64
	source, cpu, base atomic.Int64 // those of the batch
}

// take takes the next record and returns it in memory of the caller: a copy in *to, which is enlarged if necessary,
// or, if to is nil, the record itself if its memory isn't shared, and a new copy otherwise. It fails if there is no
// record, or if another goroutine was faster.
func (w *window) take(to *[]byte) (record []byte, from origin, ok bool) {
	state := w.state.Load()
	i := uint(uint16(state))
	if i >= uint(uint16(state>>16)) || i+1 >= uint(len(w.ends)) {
		return nil, from, false
	}
	start, end := uint(alignRecord(w.ends[i])), uint(w.ends[i+1])
	if start > end || end > uint(len(w.data)) {
		return nil, from, false // the memory is being written
	}
	record = w.data[start:end:end]
	from = origin{int(w.source.Load()), int(w.cpu.Load()), behindRecord(int(w.base.Load()), w.header, uint32(end), int(i)+1)}
	// The owner of memory that isn't shared may write to it, so such a record is taken first and copied afterwards.
	taken := false
	if !w.shared {
		if taken = w.state.CompareAndSwap(state, state+1); !taken {
			return nil, from, false
		}
	}
	switch {
	case to != nil:
		if cap(*to) < len(record) {
			*to = make([]byte, len(record))
		}
		*to = (*to)[:len(record)]
		copy(*to, record)
		record = *to
	case w.shared:
		record = slices.Clip(slices.Clone(record))
	}
	return record, from, taken || w.state.CompareAndSwap(state, state+1)
}

// origin is the source of a record, and the number of bytes that followed it in the ring.
type origin struct {
	source, cpu, behind int
}

func (w *window) pending() bool {
	state := w.state.Load()
	return state&0xffff < state>>16&0xffff
}

// open starts a generation with the batch's records.
func (w *window) open(b *batch) {
	w.source.Store(int64(b.source))
	w.cpu.Store(int64(b.cpu))
	w.base.Store(int64(b.base))
	generation := w.state.Load()>>32 + 1
	w.state.Store(generation<<32 | uint64(b.count())<<16 | uint64(b.from))
}

// shut ends the generation and returns the number of records that were taken.
func (w *window) shut() int {
	for {
		state := w.state.Load()
		if w.state.CompareAndSwap(state, (state>>32+1)<<32) {
			return int(state & 0xffff)
		}
	}
}

// alignRecord returns the start of the record that follows one which ends at n.
func alignRecord(n uint32) uint32 {
	const align = C.GOLIBBPF_RECORD_ALIGN
	return (n + align - 1) &^ (align - 1)
}

const (
	// maxScratch limits the bytes of records that one look takes, unless a single record is larger. A reader starts
	// with minScratch, so that one with few records needs little memory. It takes more than midScratch only if that
	// holds few records: copied records should still be in the processor's cache when they are handed out.
	minScratch = 2 << 10
	midScratch = 8 << 10
	maxScratch = 64 << 10
	// maxRecords limits the number of records that one look takes, for the same reason.
	maxRecords = 120
	fewRecords = 16
	// roomSize is the size of the memory that batches share whose records are kept: a receiver that keeps one record
	// keeps all of this memory alive. If there are many records, the size is largeRoom.
	roomSize  = 4 << 10
	largeRoom = 64 << 10
)

// batches counts all batches. Its values are their order.
var batches atomic.Uint64

// insert inserts a batch into a list that is sorted by order.
func insert(list []batch, b batch) []batch {
	i := slices.IndexFunc(list, func(other batch) bool { return other.order > b.order })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, b)
}

// unread has the records that a map's readers have taken but not handed out. The next reader gets them.
type unread struct {
	// consuming is locked by the reader that takes records out of the ring. libbpf doesn't allow two at a time.
	consuming sync.Mutex

	mutex   sync.Mutex
	readers []*reader // the map's open readers
	list    []batch
	count   atomic.Int32 // length of list
}

func (u *unread) join(r *reader) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.readers = append(u.readers, r)
}

func (u *unread) part(r *reader) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.readers = slices.DeleteFunc(u.readers, func(other *reader) bool { return other == r })
}

func (u *unread) add(b batch) {
	u.mutex.Lock()
	u.list = insert(u.list, b)
	u.count.Store(int32(len(u.list)))
	readers := slices.Clone(u.readers)
	u.mutex.Unlock()
	for _, r := range readers {
		r.wakeUp()
	}
}

func (u *unread) take() []batch {
	if u.count.Load() == 0 {
		return nil
	}
	u.mutex.Lock()
	defer u.mutex.Unlock()
	list := u.list
	u.list = nil
	u.count.Store(0)
	return list
}

// newReader returns a reader of maps. add creates the source of a map in C. For a perf event array, which is then the
// only map, events has the data to reopen its perf events.
func newReader(kind string, maps []*BPFMap, events *perfEvents, add func(c *C.struct_golibbpf_reader, fd C.int) C.int) (_ *reader, err error) {
	if len(maps) == 0 {
		return nil, failed(fmt.Errorf("no map: %w", syscall.EINVAL), "make "+kind)
	}
	var names []string
	for i, bpfMap := range maps {
		if bpfMap == nil {
			return nil, failed(fmt.Errorf("nil map: %w", syscall.EINVAL), "make "+kind)
		}
		if slices.Index(maps, bpfMap) < i {
			return nil, failedf(fmt.Errorf("it is there twice: %w", syscall.EINVAL), "make %s of map %q", kind, bpfMap.name)
		}
		names = append(names, strconv.Quote(bpfMap.name))
	}
	what := kind + " of map " + strings.Join(names, ", ")
	c, errno := C.golibbpf_reader_new(C.size_t(len(maps)))
	if c == nil {
		return nil, failed(pointerError(errno), "make "+what)
	}
	r := &reader{what: what, c: c, fd: -1, header: recordHeader, scratchLen: minScratch, events: events}
	r.window.Store(new(window))
	r.look = func(uintptr) bool { return r.consume() }
	defer func() {
		if err != nil {
			r.free()
		}
	}()
	var fds []C.int
	for i, bpfMap := range maps {
		if err := r.add(bpfMap, add); err != nil {
			return nil, err
		}
		fds = append(fds, C.golibbpf_source_epoll_fd(&r.sources()[i]))
	}
	if r.sources()[0].raw {
		r.header = 0
	}
	if r.fd, err = joined(fds); err != nil {
		return nil, failed(err, "make "+what)
	}
	if events != nil {
		hotplug.add(r)
	}
	for _, object := range r.objects {
		if err := object.adopt(r); err != nil {
			return nil, failed(err, "make "+what)
		}
	}
	r.turns = slices.SortedFunc(slices.Values(r.unread), func(a, b *unread) int {
		return cmp.Compare(uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(b)))
	})
	for _, unread := range r.unread {
		unread.join(r)
	}
	return r, nil
}

func (r *reader) add(bpfMap *BPFMap, add func(*C.struct_golibbpf_reader, C.int) C.int) error {
	what := "make " + r.what
	object := bpfMap.module.in()
	if err := object.enter(); err != nil {
		return failed(err, what)
	}
	defer object.exit()
	if bpfMap.fd < 0 {
		return failed(errNotCreated, what)
	}
	if !slices.Contains(r.objects, object) {
		r.objects = append(r.objects, object)
	}
	if bpfMap.mapType == MapTypeRingbuf {
		r.unread = append(r.unread, bpfMap.unread)
	}
	return watched(what, func() error { return codeOf(add(r.c, bpfMap.fd)) })
}

// These stand for the reader or feeder of a nil or zero value of the exported types. They are closed.
var (
	noRingReader = unmade("ring buffer")
	noPerfReader = unmade("perf buffer")
	noFeeder     = unmadeFeeder()
)

func unmade(kind string) *reader {
	r := &reader{what: kind + " that was not made", fd: -1}
	r.closed = true
	r.ended.Store(true)
	r.window.Store(new(window))
	return r
}

func unmadeFeeder() *feeder {
	fr := &feeder{state: halted, ended: make(chan struct{})}
	close(fr.ended)
	fr.closing.Do(func() {})
	return fr
}

// sources returns the sources in C, one for each map.
func (r *reader) sources() []C.struct_golibbpf_source {
	first := (*C.struct_golibbpf_source)(unsafe.Add(unsafe.Pointer(r.c), C.sizeof_struct_golibbpf_reader))
	return unsafe.Slice(first, int(r.c.source_count))
}

// joined returns a new descriptor that is readable when one of fds is. If there are several, each must be an epoll
// descriptor.
func joined(fds []C.int) (int, error) {
	if len(fds) == 1 {
		return unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for _, of := range fds {
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, int(of), &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// pollable returns a file in the runtime's poller for a descriptor. The file owns the descriptor, unless there is an
// error.
func pollable(name string, fd int) (*os.File, syscall.RawConn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	raw, _ := file.SyscallConn() // never fails for an open file
	return file, raw, nil
}

// closeWake closes fd, which ends a wait. ended must be true.
func (r *reader) closeWake() {
	r.state.Lock()
	defer r.state.Unlock()
	switch {
	case r.wake != nil:
		r.wake.Close()
	case r.fd >= 0:
		unix.Close(r.fd)
	}
	r.fd = -1
}

// fill waits until there is a batch. If reuse is true, the batch's memory is written again after the batch was handed
// out. The caller holds reading, which other goroutines may get during the wait, and has handed out the last batch.
//
// The error is os.ErrClosed once the reader is closed, the cause of ctx once that is done, ErrFlushed, or
// os.ErrDeadlineExceeded. Each of these is returned only when nothing is left to read.
func (r *reader) fill(ctx context.Context, reuse bool) error {
	for !r.ended.Load() {
		r.reuse = reuse
		if r.more && r.consume() {
			return r.err
		}
		if err := r.arm(ctx); err != nil {
			return err
		}
		err := r.raw.Read(r.look)
		if err == nil {
			return r.err
		}
		if r.ended.Load() {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if r.consume() {
			return r.err
		}
		if err := r.interrupted(ctx); err != nil {
			return err
		}
		if r.giveWay() {
			return nil
		}
	}
	return os.ErrClosed
}

// giveWay lets the impatient goroutines have reading. It reports whether they have left something to be handed out.
func (r *reader) giveWay() bool {
	for r.impatient.Load() > 0 {
		r.reading.Unlock()
		runtime.Gosched()
		r.reading.Lock()
	}
	r.recall()
	return r.batch.pending()
}

// hurry makes the goroutine that waits for records with reading give way, until impatient is decremented.
func (r *reader) hurry() {
	r.impatient.Add(1)
	r.wakeUp()
}

// lockNow locks reading without waiting for records.
func (r *reader) lockNow() {
	if !r.reading.TryLock() {
		r.hurry()
		r.reading.Lock()
		r.impatient.Add(-1)
	}
}

// lockReading locks reading, at the latest shortly after ctx is done.
func (r *reader) lockReading(ctx context.Context) {
	if r.reading.TryLock() {
		return
	}
	stop := context.AfterFunc(ctx, r.hurry)
	r.reading.Lock()
	if !stop() {
		r.impatient.Add(-1)
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// arm prepares a wait: it sets the deadline at which the wait ends.
func (r *reader) arm(ctx context.Context) (err error) {
	r.state.Lock()
	defer r.state.Unlock()
	if r.ended.Load() {
		return os.ErrClosed
	}
	if r.wake == nil {
		if r.wake, r.raw, err = pollable(r.what, r.fd); err != nil {
			return err
		}
	}
	until := r.deadline
	if r.interval > 0 {
		if next := time.Now().Add(r.interval); until.IsZero() || next.Before(until) {
			until = next
		}
	}
	// An interrupt sets its reason before its deadline. So either the reason is seen here, or the interrupt's deadline
	// is set after this one.
	if r.flushing || r.trouble.Load() != nil || ctx.Err() != nil || r.impatient.Load() > 0 {
		until = past
	}
	r.setWake(until)
	return nil
}

func (r *reader) setWake(deadline time.Time) {
	if r.wake != nil && !deadline.Equal(r.armed) {
		r.armed = deadline
		_ = r.wake.SetReadDeadline(deadline)
	}
}

// interrupted returns the reason why the wait ended, or nil if the wait should continue.
func (r *reader) interrupted(ctx context.Context) error {
	r.state.Lock()
	defer r.state.Unlock()
	switch {
	case r.ended.Load():
		return os.ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.flushing:
		r.flushing = false
		return ErrFlushed
	case !r.deadline.IsZero() && !time.Now().Before(r.deadline):
		return os.ErrDeadlineExceeded
	}
	r.armed = past // this deadline ended the wait, even if the clock was set back since
	return nil
}

// interrupt calls change under the state's lock, then ends a wait that is under way.
func (r *reader) interrupt(change func()) {
	r.state.Lock()
	defer r.state.Unlock()
	change()
	r.setWake(past)
}

// consume takes the present records, as many as fit into one batch. It reports whether there was a record or an error.
func (r *reader) consume() bool {
	return r.consumeFrom(-1)
}

// consumeFrom is consume from the source of that index only, or from all if it is negative.
func (r *reader) consumeFrom(only int) bool {
	r.batch, r.err = batch{}, nil
	if r.ended.Load() {
		r.err = os.ErrClosed
		return true
	}
	if r.trouble.Load() != nil {
		r.err = *r.trouble.Swap(nil)
		return true
	}
	r.collect()
	for i, b := range r.left {
		if only < 0 || b.source == only {
			r.batch = b
			r.left = slices.Delete(r.left, i, i+1)
			return true
		}
	}
	if perf := &r.sources()[0]; only >= 0 && perf.pb != nil && perf.spilled && int(perf.next_buffer) != only {
		// An event of another CPU didn't fit into its batch and comes first.
		if !r.lookAt(-1) || r.err != nil {
			return r.err != nil
		}
		r.setAside()
	}
	return r.lookAt(only)
}

// collect takes the batches that former readers of the maps have left.
func (r *reader) collect() {
	for i, unread := range r.unread {
		for _, b := range unread.take() {
			b.source = i
			r.left = insert(r.left, b)
		}
	}
}

// lookAt takes a batch from a source, by golibbpf_reader_consume.
func (r *reader) lookAt(only int) bool {
	if r.ends == nil {
		r.ends = make([]uint32, maxRecords+1)
	}
	need := 0
	for {
		data, start := r.place(need)
		for _, unread := range r.turns {
			unread.consuming.Lock()
		}
		n := C.golibbpf_reader_consume(r.c, (*C.char)(unsafe.Pointer(&data[0])), C.size_t(len(data)), C.size_t(start),
			(*C.uint32_t)(&r.ends[0]), maxRecords, C.int(only))
		for _, unread := range r.turns {
			unread.consuming.Unlock()
		}
		if n == -C.ENOBUFS && r.c.need > 0 {
			need = int(alignRecord(uint32(r.c.need)))
			continue
		}
		if n < 0 {
			r.err = codeOf(n)
			return true
		}
		r.more, r.full = bool(r.c.more), bool(r.c.full)
		if r.reuse && r.full && (n < fewRecords || n < maxRecords && len(r.scratch) < midScratch) {
			r.scratchLen = max(r.scratchLen, min(2*len(r.scratch), maxScratch))
		}
		if n > 0 || r.c.lost > 0 {
			end := int(alignRecord(r.ends[n]))
			r.batch = batch{
				data: data, ends: r.ends[:n+1], shared: r.reuse, order: batches.Add(1),
				source: int(r.c.found), cpu: int(r.c.cpu), lost: uint64(r.c.lost),
				header: r.header, base: end + r.header*int(n) + int(r.c.remaining),
			}
			if !r.reuse {
				r.used = end
			}
			return true
		}
		if !r.more {
			return false
		}
	}
}

// place returns the memory for the next batch, and the offset where it starts. There is room for need bytes.
func (r *reader) place(need int) (data []byte, start int) {
	if r.reuse {
		r.scratchLen = max(r.scratchLen, need)
		if len(r.scratch) < r.scratchLen {
			r.scratch = make([]byte, r.scratchLen)
		}
		return r.scratch, 0
	}
	const small = 512
	if len(r.room)-r.used < max(need, small) {
		size := roomSize
		if r.full {
			size = largeRoom
		}
		r.room, r.used = make([]byte, max(size, need)), 0
	}
	return r.room, r.used
}

// next waits until batch has something to hand out, see fill.
func (r *reader) next(ctx context.Context, reuse bool) error {
	r.recall()
	if r.batch.pending() {
		return nil
	}
	if err := r.fill(ctx, reuse); err != nil {
		return failed(err, "read "+r.what)
	}
	return nil
}

// A loss is the number of events that were lost on a CPU.
type loss struct {
	cpu    int
	events uint64
}

// offer waits until there are records in the window, or until there are only lost events, which it returns. The
// caller, which has found nothing in the window, then looks there again.
func (r *reader) offer(reuse bool) (lost loss, err error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	w := r.window.Load()
	if w.pending() {
		return lost, nil
	}
	if err := r.next(context.Background(), reuse); err != nil {
		return lost, err
	}
	b := &r.batch
	if b.from == b.count() {
		lost = loss{b.cpu, b.lost}
		b.lost = 0
		return lost, nil
	}
	if unsafe.SliceData(w.data) != unsafe.SliceData(b.data) || len(w.data) != len(b.data) ||
		unsafe.SliceData(w.ends) != unsafe.SliceData(b.ends) || w.shared != b.shared {
		w = &window{data: b.data, ends: b.ends[:cap(b.ends)], shared: b.shared, header: b.header}
	}
	w.open(b)
	b.from = b.count()
	r.offered = true
	r.window.Store(w)
	return lost, nil
}

// recall takes the remaining records of the batch back from the window.
func (r *reader) recall() {
	if r.offered {
		r.offered = false
		r.batch.from = r.window.Load().shut()
	}
}

// batches returns an iterator over batches as they come. An error is its last element.
func (r *reader) batches(ctx context.Context) iter.Seq2[*batch, error] {
	return func(yield func(*batch, error) bool) {
		if ctx == nil {
			yield(nil, failed(fmt.Errorf("nil context: %w", syscall.EINVAL), "read "+r.what))
			return
		}
		defer context.AfterFunc(ctx, r.wakeUp)()
		var b batch
		defer func() { r.release(&b) }() // deferred in case the loop's body panics
		for {
			if ctx.Err() != nil {
				yield(nil, failed(context.Cause(ctx), "read "+r.what))
				return
			}
			if err := r.exchange(ctx, &b, true); err != nil {
				yield(nil, err)
				return
			}
			if !yield(&b, nil) {
				return
			}
		}
	}
}

// exchange takes back the memory of a batch that was handed out completely, and returns the next batch in b. The
// caller owns that batch until it exchanges or releases it. It doesn't hold reading meanwhile.
func (r *reader) exchange(ctx context.Context, b *batch, reuse bool) error {
	r.lockReading(ctx)
	defer r.reading.Unlock()
	r.recycle(b)
	if err := r.next(ctx, reuse); err != nil {
		return err
	}
	r.handOver(b)
	return nil
}

// release returns a batch of exchange or lookFrom to the reader.
func (r *reader) release(b *batch) {
	r.lockNow()
	defer r.reading.Unlock()
	if b.pending() {
		b.shared = false
		r.left = insert(r.left, *b)
		r.setAside() // batch may have been taken later than b
	} else {
		r.recycle(b)
	}
	r.leave()
}

// each calls f for the records and losses that are present when it starts, without waiting. Each call of f takes one
// of them from the batch. It stops after limit calls or at an error, and returns the number of calls. If only is
// negative, it goes through all sources, starting at another one each time; otherwise it takes only the source with
// that index.
func (r *reader) each(only, limit int, f func(*batch) error) (n int, err error) {
	if only >= 0 {
		return r.eachOf(only, limit, f)
	}
	count, err := r.sourceCount()
	if err != nil {
		return 0, failed(err, "read "+r.what)
	}
	first := int(r.turn.Add(1))
	for i := 0; i < count && n < limit && err == nil; i++ {
		var m int
		m, err = r.eachOf((first+i)%count, limit-n, f)
		n += m
	}
	return n, err
}

func (r *reader) eachOf(source, limit int, f func(*batch) error) (n int, err error) {
	present, err := r.present(source)
	for n < limit && present > 0 && err == nil {
		b, lookErr := r.lookFrom(source)
		if lookErr != nil || b == nil {
			return n, lookErr
		}
		func() {
			defer r.release(b) // deferred in case f panics
			for b.pending() && n < limit && present > 0 && err == nil {
				present -= b.nextBytes()
				n++
				err = f(b)
			}
		}()
	}
	return n, err
}

// sourceCount returns the number of rings or CPUs' buffers.
func (r *reader) sourceCount() (int, error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	defer r.exit()
	if pb := r.sources()[0].pb; pb != nil {
		return int(C.perf_buffer__buffer_cnt(pb)), nil
	}
	return len(r.unread), nil
}

// present returns the number of bytes that can be read from a source. If an error is to be returned, it is not 0.
func (r *reader) present(source int) (int, error) {
	r.lockNow()
	defer r.reading.Unlock()
	if r.ended.Load() {
		return 0, failed(os.ErrClosed, "read "+r.what)
	}
	n := int(C.golibbpf_reader_available(r.c, C.size_t(source))) + r.inProcess(source)
	for _, source := range r.sources() {
		if source.err != 0 {
			n++
		}
	}
	if r.trouble.Load() != nil {
		n++
	}
	return n, nil
}

// inProcess returns the number of bytes that were taken from a source, or from all if only is negative, but not handed
// out. The caller holds reading, and ended is false.
func (r *reader) inProcess(only int) int {
	r.recall()
	r.collect()
	size := 0
	for _, b := range slices.Concat(r.left, []batch{r.batch}) {
		if only < 0 || b.source == only {
			size += b.unread()
		}
	}
	for i, source := range r.sources() {
		if source.pb != nil {
			i = int(source.next_buffer)
		}
		if source.spilled && (only < 0 || i == only) {
			size += int(alignRecord(uint32(source.spill_len))) + r.header
		}
	}
	return size
}

// lookFrom returns a batch like exchange, but without waiting. If there is none, it returns nil.
func (r *reader) lookFrom(only int) (*batch, error) {
	r.lockNow()
	defer r.reading.Unlock()
	r.recall()
	if !r.batch.pending() || only >= 0 && r.batch.source != only {
		r.setAside()
		r.reuse = true
		if !r.consumeFrom(only) {
			return nil, nil
		}
		if r.err != nil {
			return nil, failed(r.err, "read "+r.what)
		}
	}
	b := new(batch)
	r.handOver(b)
	return b, nil
}

// setAside moves the batch's remaining records to left.
func (r *reader) setAside() {
	r.recall()
	if !r.batch.pending() {
		return
	}
	var b batch
	r.handOver(&b)
	b.shared = false
	r.left = insert(r.left, b)
}

// handOver moves the batch to b. The reader gives up the batch's memory.
func (r *reader) handOver(b *batch) {
	*b = r.batch
	r.batch = batch{}
	r.ends = nil
	if b.shared {
		r.scratch = nil
	}
}

// await waits until there is something to be handed out or ctx is done.
func (r *reader) await(ctx context.Context) error {
	defer context.AfterFunc(ctx, r.wakeUp)()
	r.lockReading(ctx)
	defer r.reading.Unlock()
	return r.next(ctx, true)
}

// wakeUp ends a wait that is under way. The waiting goroutine then looks for the reason.
func (r *reader) wakeUp() {
	r.interrupt(func() {})
}

// recycle takes back the memory of a batch that was handed out completely.
func (r *reader) recycle(b *batch) {
	if r.ends == nil && cap(b.ends) > maxRecords {
		r.ends = b.ends[:maxRecords+1]
	}
	if b.shared && len(b.data) > len(r.scratch) {
		r.scratch = b.data
	}
	*b = batch{}
}

// leave, once ended is true, passes the records that were not handed out to the maps' next readers.
func (r *reader) leave() {
	if !r.ended.Load() {
		return
	}
	r.setAside()
	r.left = append(r.left, r.spilled()...)
	for _, unread := range r.unread {
		unread.part(r)
	}
	for _, b := range r.left {
		if b.source < len(r.unread) {
			r.unread[b.source].add(b)
		}
	}
	r.left = nil
}

// relinquish is leave for a caller that doesn't hold reading.
func (r *reader) relinquish() {
	r.lockNow()
	defer r.reading.Unlock()
	r.leave()
}

// spilled takes the records that didn't fit into the last batch.
func (r *reader) spilled() (records []batch) {
	if r.c == nil {
		return nil
	}
	sources := r.sources()
	for i := range sources {
		source := &sources[i]
		if !source.spilled {
			continue
		}
		source.spilled = false
		records = append(records, batch{
			data: C.GoBytes(unsafe.Pointer(source.spill), C.int(source.spill_len)),
			ends: []uint32{0, uint32(source.spill_len)}, source: i,
			header: r.header, base: int(alignRecord(uint32(source.spill_len))) + r.header,
			order: batches.Add(1),
		})
	}
	return records
}

// epollFD returns fd, or -1 once ended is true.
func (r *reader) epollFD() int {
	r.state.Lock()
	defer r.state.Unlock()
	if r.ended.Load() {
		return -1
	}
	return r.fd
}

// availableBytes returns the number of bytes that can be read, headers included. If another goroutine is reading at
// the moment, it doesn't count the records in the process.
func (r *reader) availableBytes() (int, error) {
	n, err := r.sourceCount()
	if err != nil {
		return 0, failed(err, "look at "+r.what)
	}
	size := 0
	if r.reading.TryLock() {
		if !r.ended.Load() {
			size = r.inProcess(-1)
		}
		r.reading.Unlock()
	}
	for i := range n {
		if err := r.enter(); err != nil {
			return 0, failed(err, "look at "+r.what)
		}
		size += int(C.golibbpf_reader_available(r.c, C.size_t(i)))
		r.exit()
	}
	return size, nil
}

// setDeadline sets the time after which reads return os.ErrDeadlineExceeded. The zero time means none.
func (r *reader) setDeadline(deadline time.Time) {
	r.interrupt(func() { r.deadline = deadline })
}

func (r *reader) setInterval(interval time.Duration) {
	r.interrupt(func() { r.interval = interval })
}

func (r *reader) flush() {
	r.interrupt(func() { r.flushing = true })
}

// end ends the reading permanently.
func (r *reader) end() {
	r.interrupt(func() { r.ended.Store(true) })
}

// close ends the reading and frees the C side. Closing again does nothing.
func (r *reader) close() {
	r.end()
	r.closeWake()
	if r.events != nil {
		hotplug.remove(r)
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.lock() != nil {
		return
	}
	defer r.unlock()
	r.closed = true
	r.leave()
	r.takeBack()
	C.golibbpf_reader_free(r.c)
	r.c = nil
	if r.events != nil {
		r.events.close()
	}
}

// free closes the reader and removes it from its objects.
func (r *reader) free() {
	r.close()
	for _, object := range r.objects {
		object.disown(r)
	}
}

// A feeder sends records from readers to channels. It doesn't refer to a module, so that the cleanup of a dropped
// module can close it. Its goroutines do refer to the module, and so keep it alive while the feeder runs.
type feeder struct {
	object  *object
	closing sync.Once

	mutex    sync.Mutex
	feeds    []*feed
	interval time.Duration
	state    feederState
	running  int           // number of running goroutines
	halted   chan struct{} // closed to end the feeds
	ended    chan struct{} // closed when all feeds have ended
	err      error
}

type feederState int

const (
	idle feederState = iota
	feeding
	halted
)

// newFeeder returns a feeder with one feed. The module owns it.
func newFeeder(m *Module, f *feed) (*feeder, error) {
	fr := &feeder{object: m.in(), feeds: []*feed{f}, halted: make(chan struct{}), ended: make(chan struct{})}
	if err := m.in().adopt(fr); err != nil {
		fr.close()
		return nil, failed(err, "make "+f.reader.what)
	}
	return fr, nil
}

// add adds a feed of the module m. The feeder owns it.
func (fr *feeder) add(m *Module, f *feed) error {
	fr.mutex.Lock()
	defer fr.mutex.Unlock()
	if fr.state == halted {
		f.reader.free()
		return failed(os.ErrClosed, "make "+f.reader.what)
	}
	if slices.ContainsFunc(fr.feeds, func(g *feed) bool { return g.reader.unread[0] == f.reader.unread[0] }) {
		f.reader.free()
		return failed(fmt.Errorf("the buffer has it already: %w", syscall.EEXIST), "make "+f.reader.what)
	}
	fr.feeds = append(fr.feeds, f)
	if fr.state == feeding {
		fr.start(m, f)
	}
	return nil
}

func (fr *feeder) poll(keep any, interval time.Duration) {
	fr.mutex.Lock()
	defer fr.mutex.Unlock()
	if fr.state != idle {
		return
	}
	fr.state = feeding
	fr.interval = interval
	for _, f := range fr.feeds {
		fr.start(keep, f)
	}
}

// start runs a feed. Meanwhile it keeps the value keep alive: the feed's module, or the buffer with all modules.
func (fr *feeder) start(keep any, f *feed) {
	f.reader.setInterval(fr.interval)
	fr.run(keep, f.run)
	if f.lost != nil {
		fr.run(keep, f.runLost)
	}
}

func (fr *feeder) run(keep any, task func(halted <-chan struct{}) error) {
	fr.running++
	go func() {
		defer runtime.KeepAlive(keep)
		err := task(fr.halted)
		fr.mutex.Lock()
		defer fr.mutex.Unlock()
		if err != nil {
			fr.fail(err)
			fr.halt()
		}
		if fr.running--; fr.running == 0 {
			fr.state = halted
			for _, f := range fr.feeds {
				f.reader.relinquish()
			}
			fr.closeChannels()
			close(fr.ended)
		}
	}()
}

// fail stores err, unless an earlier error is stored.
func (fr *feeder) fail(err error) {
	if fr.err == nil {
		fr.err = err
	}
}

// failure returns the error that ended the feeding.
func (fr *feeder) failure() error {
	fr.mutex.Lock()
	defer fr.mutex.Unlock()
	return fr.err
}

// halt makes the feeds end. They can't be started again, because their channels are closed.
func (fr *feeder) halt() {
	if fr.state == feeding {
		fr.state = halted
		close(fr.halted)
		for _, f := range fr.feeds {
			f.reader.end()
		}
	}
}

// closeChannels closes each channel once.
func (fr *feeder) closeChannels() {
	closed := make(map[any]bool)
	for _, f := range fr.feeds {
		if !closed[f.events] {
			closed[f.events] = true
			fr.fail(closeChannel(f, f.events))
		}
		if f.lost != nil && !closed[f.lost] {
			closed[f.lost] = true
			fr.fail(closeChannel(f, f.lost))
		}
	}
}

// stop ends the feeding, if it was started, and waits for that.
func (fr *feeder) stop() {
	fr.mutex.Lock()
	begun := fr.state != idle
	fr.halt()
	fr.mutex.Unlock()
	if begun {
		<-fr.ended
	}
}

// close stops the feeding and frees the readers. Every call returns only when that is done.
func (fr *feeder) close() {
	fr.closing.Do(fr.free)
}

func (fr *feeder) free() {
	fr.mutex.Lock()
	if fr.state == idle {
		fr.state = halted
		close(fr.ended)
	}
	fr.mutex.Unlock()
	fr.stop()

	fr.mutex.Lock()
	feeds := fr.feeds
	fr.feeds = nil
	fr.mutex.Unlock()
	for _, f := range feeds {
		f.reader.free()
	}
	fr.object.disown(fr)
}

// A feed is a reader and the channels for its records.
type feed struct {
	reader *reader
	events chan []byte
	// lost receives the numbers of lost events. It may be nil.
	lost chan uint64

	// unsent is the number of lost events that was not sent to lost yet. news has an element if there are any.
	unsent atomic.Uint64
	news   chan struct{}
}

func newFeed(r *reader, events chan []byte, lost chan uint64) *feed {
	return &feed{reader: r, events: events, lost: lost, news: make(chan struct{}, 1)}
}

// run sends records until halted is closed or the reader is closed.
func (f *feed) run(halted <-chan struct{}) (err error) {
	defer close(f.news)
	var b batch
	defer func() { f.reader.release(&b) }()
	defer f.recoverClosedChannel(&err)
	for {
		err = f.reader.exchange(context.Background(), &b, false)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for ; b.from < b.count(); b.from++ {
			if !send(f.events, b.record(), halted) {
				return nil
			}
		}
		if b.lost > 0 {
			f.unsent.Add(b.lost)
			b.lost = 0
			select {
			case f.news <- struct{}{}:
			default:
			}
		}
	}
}

// runLost sends the numbers of lost events. Those that nobody has received yet are added up.
func (f *feed) runLost(halted <-chan struct{}) (err error) {
	defer f.recoverClosedChannel(&err)
	for range f.news {
		if n := f.unsent.Swap(0); n > 0 && !send(f.lost, n, halted) {
			return nil
		}
	}
	return nil
}

// send sends a value and reports whether it was received. Once halted is closed, it doesn't wait.
func send[T any](channel chan<- T, value T, halted <-chan struct{}) bool {
	// A select with one channel is cheaper than one with two, and the channel mostly has room.
	select {
	case channel <- value:
		return true
	default:
	}
	select {
	case channel <- value:
		return true
	case <-halted:
		return false
	}
}

// errClosedChannel is returned when a channel was closed by somebody else.
var errClosedChannel = errors.New("channel was closed by somebody else")

func closeChannel[T any](f *feed, channel chan T) (err error) {
	defer f.recoverClosedChannel(&err)
	close(channel)
	return nil
}

// recoverClosedChannel is deferred around operations on a channel. It turns the panic for a closed channel into an
// error.
func (f *feed) recoverClosedChannel(err *error) {
	reason := recover()
	if reason == nil {
		return
	}
	if e, ok := reason.(runtime.Error); !ok || !strings.HasSuffix(e.Error(), "closed channel") {
		panic(reason)
	}
	*err = failed(errClosedChannel, "send events of "+f.reader.what)
}
