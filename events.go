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

// ErrFlushed is what a read gives after Flush, when everything that was there had been read.
var ErrFlushed = errors.New("buffer was flushed")

// errNoFunction is that of a call whose function is nil.
var errNoFunction = fmt.Errorf("nil function: %w", syscall.EINVAL)

// A reader takes records, in batches, out of ring buffer maps or of a perf event array. Each batch is
// of one of them, and of one CPU if it's a perf event array.
//
// One goroutine reads at a time, which holds the mutex reading; everything else may be called at any
// time.
//
// It doesn't refer to a module, so that a module that was dropped can close it.
type reader struct {
	what    string // such as `ring buffer of map "events"`
	objects []*object
	unread  []*unread             // of each ring
	turns   []*unread             // the same in the order in which they are locked
	fd      int                   // is readable when one of libbpf's epoll descriptors is
	look    func(fd uintptr) bool // consume, as the poller wants it

	guard // of c, which is freed while reading is held, too
	c     *C.struct_golibbpf_reader

	header int // of records, see batch

	events *perfEvents // nil for rings
	// trouble is an error that the next look returns.
	trouble atomic.Pointer[error]

	// window has what is handed out without the mutex.
	window atomic.Pointer[window]
	// turn counts the calls of each.
	turn atomic.Uint32

	reading sync.Mutex
	// impatient counts those who want reading though somebody waits with it: he lets them have it.
	impatient atomic.Int32

	batch   batch   // what is still to be handed out
	offered bool    // batch's records are in the window
	left    []batch // and what comes before the next look
	reuse   bool    // the next batch goes to scratch
	more    bool    // there may be records that were not announced
	full    bool    // the last look has found more than it could take
	err     error   // of the last look
	// scratch, which is to have scratchLen bytes, and ends are where the next batch goes.
	scratch    []byte
	scratchLen int
	ends       []uint32
	// room, of which used bytes are, is for batches whose records are kept.
	room []byte
	used int

	// ended means that no reading is possible any more.
	ended atomic.Bool

	state sync.Mutex // of what follows
	// wake is fd in the runtime's poller, once somebody has waited: it takes the news of perf events from
	// everybody else who polls.
	wake     *os.File
	raw      syscall.RawConn
	deadline time.Time
	interval time.Duration // how often to look for records that were not announced; 0 is never
	flushing bool
	armed    time.Time // what wake's deadline is
	// lent is memory of a perf buffer, by index, that the user has. While there is any, keep keeps the
	// module alive.
	lent map[int][]byte
	keep any
}

// A batch is records in one piece of memory, which are handed out one after the other.
type batch struct {
	data []byte
	// ends has where the first record begins, and where each one ends.
	ends []uint32
	// from is how many records were handed out already.
	from int
	// shared means that the memory is the reader's own, which will write to it again.
	shared bool
	// order is greater than that of the batches that were taken before.
	order uint64

	source int    // the index of the ring, or of the CPU's buffer
	cpu    int    // of perf events
	lost   uint64 // events lost after the last record
	// header is what each record has before it in the ring.
	header int
	// base is how many bytes the ring held up to behind the batch, with the records' headers, counted
	// from where data begins.
	base int
}

// count returns how many records the batch had at first.
func (b *batch) count() int {
	return max(len(b.ends)-1, 0)
}

// pending tells whether there is anything to be handed out.
func (b *batch) pending() bool {
	return b.from < b.count() || b.lost > 0
}

// record returns the next record, whose capacity ends where it ends.
func (b *batch) record() []byte {
	start, end := alignRecord(b.ends[b.from]), b.ends[b.from+1]
	return b.data[start:end:end]
}

// next hands out a record and tells how many bytes the ring had behind it when the batch was taken.
func (b *batch) next() (record []byte, behind int) {
	record = b.record()
	b.from++
	return record, b.behind(b.from)
}

// behind returns how many bytes the ring had behind the n-th record.
func (b *batch) behind(n int) int {
	return behindRecord(b.base, b.header, b.ends[n], n)
}

// nextBytes returns how many bytes the ring had for what is handed out next.
func (b *batch) nextBytes() int {
	if b.from == b.count() {
		return lostBytes
	}
	return b.behind(b.from) - b.behind(b.from+1)
}

// unread returns the bytes that the ring had for what was not handed out.
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
	// recordHeader is what each record has before it in the ring, unless it is a raw event, which has it.
	recordHeader = C.GOLIBBPF_RECORD_HEADER
	// lostBytes is the size of the event that tells of lost ones.
	lostBytes = 24
)

// behindRecord returns how many bytes the ring had behind the n-th record of a batch with that base and
// such headers, which ends at end.
func behindRecord(base, header int, end uint32, n int) int {
	return base - int(alignRecord(end)) - header*n
}

// A window lets goroutines that want single records take them from a batch without a mutex, by one atomic
// operation each.
//
// Who wants a record reads it and then makes the state say that it is taken, which succeeds only if the
// state is as it was before. The records are written anew only when all were taken, under a new generation:
// what was read from memory that was written meanwhile is discarded.
type window struct {
	// They never change.
	data   []byte
	ends   []uint32
	shared bool
	header int

	// state has the generation (32 bits), the number of records (16), and how many were taken (16).
	state             atomic.Uint64
	source, cpu, base atomic.Int64 // the batch's
}

// take takes the next record, in memory of the caller's: a copy in *to, which may be enlarged, or if to is
// nil the record itself if it isn't in shared memory. It fails if there is none, or somebody else was faster.
func (w *window) take(to *[]byte) (record []byte, from origin, ok bool) {
	state := w.state.Load()
	i := uint(uint16(state))
	if i >= uint(uint16(state>>16)) || i+1 >= uint(len(w.ends)) {
		return nil, from, false
	}
	start, end := uint(alignRecord(w.ends[i])), uint(w.ends[i+1])
	if start > end || end > uint(len(w.data)) {
		return nil, from, false // it is being written
	}
	record = w.data[start:end:end]
	from = origin{int(w.source.Load()), int(w.cpu.Load()), behindRecord(int(w.base.Load()), w.header, uint32(end), int(i)+1)}
	// What isn't shared may be written to by its owner, so it is copied afterwards.
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

// origin says where a record is from, and how many bytes the ring had behind it.
type origin struct {
	source, cpu, behind int
}

func (w *window) pending() bool {
	state := w.state.Load()
	return state&0xffff < state>>16&0xffff
}

// open begins a generation with the batch's records.
func (w *window) open(b *batch) {
	w.source.Store(int64(b.source))
	w.cpu.Store(int64(b.cpu))
	w.base.Store(int64(b.base))
	generation := w.state.Load()>>32 + 1
	w.state.Store(generation<<32 | uint64(b.count())<<16 | uint64(b.from))
}

// shut ends the generation and returns how many records were taken.
func (w *window) shut() int {
	for {
		state := w.state.Load()
		if w.state.CompareAndSwap(state, (state>>32+1)<<32) {
			return int(state & 0xffff)
		}
	}
}

// alignRecord returns where the record after one that ends at n begins.
func alignRecord(n uint32) uint32 {
	const align = C.GOLIBBPF_RECORD_ALIGN
	return (n + align - 1) &^ (align - 1)
}

const (
	// maxScratch is how many bytes of records one look takes at most, unless a single one is larger; a
	// reader begins with minScratch, so that it costs little while few come. More than midScratch is taken
	// only if it holds few records: what was copied is to be in the processor's cache still when it is
	// handed out.
	minScratch = 2 << 10
	midScratch = 8 << 10
	maxScratch = 64 << 10
	// maxRecords is how many records one look takes at most, for the same reason.
	maxRecords = 120
	fewRecords = 16
	// roomSize is that of the memory which batches share whose records are kept: a receiver who keeps a
	// single one keeps all of it alive. While there are many, it is largeRoom.
	roomSize  = 4 << 10
	largeRoom = 64 << 10
)

// batches counts all batches, for their order.
var batches atomic.Uint64

// insert puts a batch where its order is.
func insert(list []batch, b batch) []batch {
	i := slices.IndexFunc(list, func(other batch) bool { return other.order > b.order })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, b)
}

// unread is what a map's reader took and didn't hand out: it is for the next one.
type unread struct {
	// consuming is held by the one of several readers of the map that takes records out of the ring, which
	// libbpf does not do for two at a time.
	consuming sync.Mutex

	mutex   sync.Mutex
	readers []*reader // the map's present ones
	list    []batch
	count   atomic.Int32 // of list
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

// newReader returns a reader of maps, for each of which add makes a source in C. Of a perf event array, which is
// the only map then, events has what is needed to reopen its events.
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

// Nil and zero values of the exported types have one of these, which was closed from the beginning.
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

// sources returns C's, one for each map.
func (r *reader) sources() []C.struct_golibbpf_source {
	first := (*C.struct_golibbpf_source)(unsafe.Add(unsafe.Pointer(r.c), C.sizeof_struct_golibbpf_reader))
	return unsafe.Slice(first, int(r.c.source_count))
}

// joined returns a new descriptor that is readable when one of those is, of which each is an epoll descriptor
// if there are several.
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

// pollable makes a descriptor a file in the runtime's poller, to which it belongs then unless there is an error.
func pollable(name string, fd int) (*os.File, syscall.RawConn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	raw, _ := file.SyscallConn() // which an open file has
	return file, raw, nil
}

// closeWake closes fd, which ends a wait. The reading has ended.
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

// fill waits until there is a batch; reuse tells whether its memory may be written again afterwards.
// The caller holds reading, which others may get meanwhile, and has handed out the last batch.
//
// The error is os.ErrClosed once closed, that of ctx once it is done, ErrFlushed, or
// os.ErrDeadlineExceeded, all of which come only when nothing is left to read.
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

// giveWay lets those have reading who are impatient, and tells whether they have left something to be handed
// out.
func (r *reader) giveWay() bool {
	for r.impatient.Load() > 0 {
		r.reading.Unlock()
		runtime.Gosched()
		r.reading.Lock()
	}
	r.recall()
	return r.batch.pending()
}

// hurry makes the one that waits with reading give way, until impatient is counted down.
func (r *reader) hurry() {
	r.impatient.Add(1)
	r.wakeUp()
}

// lockNow takes reading without waiting for records.
func (r *reader) lockNow() {
	if !r.reading.TryLock() {
		r.hurry()
		r.reading.Lock()
		r.impatient.Add(-1)
	}
}

// lockReading takes reading, not much later than when ctx is done.
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

// arm prepares a wait, which is to end in time.
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
	// An interrupt sets its reason before it sets its deadline: it is seen here, or its deadline is
	// the later one.
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

// interrupted returns why the wait was ended, nil if it is to be gone on with.
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
	r.armed = past // which has ended the wait, though the clock may have been set back since
	return nil
}

// interrupt changes the state, and ends a wait that is under way.
func (r *reader) interrupt(change func()) {
	r.state.Lock()
	defer r.state.Unlock()
	change()
	r.setWake(past)
}

// consume takes what is there, as much as one batch holds, and tells whether that was something, be it
// an error.
func (r *reader) consume() bool {
	return r.consumeFrom(-1)
}

// consumeFrom is consume from the source of that index alone, unless it is negative.
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
		// The event that had no room is another CPU's.
		if !r.lookAt(-1) || r.err != nil {
			return r.err != nil
		}
		r.setAside()
	}
	return r.lookAt(only)
}

// collect takes what the maps' former readers have left.
func (r *reader) collect() {
	for i, unread := range r.unread {
		for _, b := range unread.take() {
			b.source = i
			r.left = insert(r.left, b)
		}
	}
}

// lookAt takes a batch out of a source, as golibbpf_reader_consume does.
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

// place returns where the next batch goes, and from where on; a record may need so many bytes.
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

// next makes sure that there is something in batch to hand out, see fill.
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

// A loss is how many events were lost at a CPU.
type loss struct {
	cpu    int
	events uint64
}

// offer makes sure that there is something in the window, unless all that there is are lost events, which
// it returns then. The caller, who has found nothing in the window, looks there again.
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

// recall takes back what is left of the batch in the window.
func (r *reader) recall() {
	if r.offered {
		r.offered = false
		r.batch.from = r.window.Load().shut()
	}
}

// batches returns batches as they come, until there is an error, which is the last that it returns.
func (r *reader) batches(ctx context.Context) iter.Seq2[*batch, error] {
	return func(yield func(*batch, error) bool) {
		if ctx == nil {
			yield(nil, failed(fmt.Errorf("nil context: %w", syscall.EINVAL), "read "+r.what))
			return
		}
		defer context.AfterFunc(ctx, r.wakeUp)()
		var b batch
		defer func() { r.release(&b) }() // also if the loop's body panics
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

// exchange takes back the memory of a batch that was handed out whole, for another one, which the caller
// has to itself until it exchanges or releases it. It doesn't hold reading meanwhile.
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

// release takes back a batch of exchange or lookFrom.
func (r *reader) release(b *batch) {
	r.lockNow()
	defer r.reading.Unlock()
	if b.pending() {
		b.shared = false
		r.left = insert(r.left, *b)
		r.setAside() // which may have been taken later
	} else {
		r.recycle(b)
	}
	r.leave()
}

// each calls f, which takes one record or loss of the batch, for what is there when it begins, without
// waiting, up to limit times or until there is an error: of the source of the index only or, if that is
// negative, of all, beginning with another one each time. It returns the number of calls.
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
			defer r.release(b) // also if f panics
			for b.pending() && n < limit && present > 0 && err == nil {
				present -= b.nextBytes()
				n++
				err = f(b)
			}
		}()
	}
	return n, err
}

// sourceCount returns how many rings or CPUs' buffers there are.
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

// present returns how many bytes there are to be read of a source, and not 0 if there is an error.
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

// inProcess returns how many bytes were taken out of a source, or of all if only is negative, and not handed
// out. The caller holds reading, which has not ended.
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

// lookFrom returns a batch, as exchange does, without waiting; nil if there is none.
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

// setAside keeps what is still to be handed out for later.
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

// handOver moves the batch to b. Its memory isn't the reader's any more.
func (r *reader) handOver(b *batch) {
	*b = r.batch
	r.batch = batch{}
	r.ends = nil
	if b.shared {
		r.scratch = nil
	}
}

// await waits until there is something to be handed out, or ctx is done.
func (r *reader) await(ctx context.Context) error {
	defer context.AfterFunc(ctx, r.wakeUp)()
	r.lockReading(ctx)
	defer r.reading.Unlock()
	return r.next(ctx, true)
}

// wakeUp ends a wait that is under way, which finds out why.
func (r *reader) wakeUp() {
	r.interrupt(func() {})
}

// recycle takes back the memory of a batch of which everything was handed out.
func (r *reader) recycle(b *batch) {
	if r.ends == nil && cap(b.ends) > maxRecords {
		r.ends = b.ends[:maxRecords+1]
	}
	if b.shared && len(b.data) > len(r.scratch) {
		r.scratch = b.data
	}
	*b = batch{}
}

// leave leaves to the maps' next readers what was not handed out, once the reading has ended.
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

// relinquish is leave for who doesn't hold reading.
func (r *reader) relinquish() {
	r.lockNow()
	defer r.reading.Unlock()
	r.leave()
}

// spilled takes the records which had no room in the last batch.
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

// epollFD returns fd, -1 once the reading has ended.
func (r *reader) epollFD() int {
	r.state.Lock()
	defer r.state.Unlock()
	if r.ended.Load() {
		return -1
	}
	return r.fd
}

// availableBytes returns how many bytes there are to be read, with the records' headers; without those in the
// process if somebody is reading just now.
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

// setDeadline makes reads return os.ErrDeadlineExceeded from then on, unless it is zero.
func (r *reader) setDeadline(deadline time.Time) {
	r.interrupt(func() { r.deadline = deadline })
}

func (r *reader) setInterval(interval time.Duration) {
	r.interrupt(func() { r.interval = interval })
}

func (r *reader) flush() {
	r.interrupt(func() { r.flushing = true })
}

// end ends the reading, now and for ever.
func (r *reader) end() {
	r.interrupt(func() { r.ended.Store(true) })
}

// close ends the reading and frees what is C's. Closing again does nothing.
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

// free closes the reader before a module does.
func (r *reader) free() {
	r.close()
	for _, object := range r.objects {
		object.disown(r)
	}
}

// A feeder moves records from readers to channels. It doesn't refer to a module, so that a module
// that was dropped can close it, but its goroutines do: a module that feeds isn't dropped.
type feeder struct {
	object  *object
	closing sync.Once

	mutex    sync.Mutex
	feeds    []*feed
	interval time.Duration
	state    feederState
	running  int           // goroutines that run
	halted   chan struct{} // closed to end the feeds
	ended    chan struct{} // closed when all have ended
	err      error
}

type feederState int

const (
	idle feederState = iota
	feeding
	halted
)

// newFeeder returns a feeder that m owns, with one feed.
func newFeeder(m *Module, f *feed) (*feeder, error) {
	fr := &feeder{object: m.in(), feeds: []*feed{f}, halted: make(chan struct{}), ended: make(chan struct{})}
	if err := m.in().adopt(fr); err != nil {
		fr.close()
		return nil, failed(err, "make "+f.reader.what)
	}
	return fr, nil
}

// add makes the feeder own a feed of the module m's.
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

// start runs a feed and keeps its module, or the buffer with all of them, from the garbage collector
// meanwhile.
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

// fail keeps the first error.
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

// halt tells the feeds to end. They can't be started again, as their channels get closed.
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

// stop ends feeding, if it was begun.
func (fr *feeder) stop() {
	fr.mutex.Lock()
	begun := fr.state != idle
	fr.halt()
	fr.mutex.Unlock()
	if begun {
		<-fr.ended
	}
}

// close stops feeding and frees the readers. All calls return only when that is done.
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

// A feed is a reader and where its records go.
type feed struct {
	reader *reader
	events chan []byte
	// lost gets the numbers of lost events; nil if nobody wants them.
	lost chan uint64

	// unsent are lost events that lost has not got yet; news tells that there are some.
	unsent atomic.Uint64
	news   chan struct{}
}

func newFeed(r *reader, events chan []byte, lost chan uint64) *feed {
	return &feed{reader: r, events: events, lost: lost, news: make(chan struct{}, 1)}
}

// run sends records until it is halted or the reader is closed.
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

// runLost sends the numbers of lost events. Those that come while nobody receives are added up.
func (f *feed) runLost(halted <-chan struct{}) (err error) {
	defer f.recoverClosedChannel(&err)
	for range f.news {
		if n := f.unsent.Swap(0); n > 0 && !send(f.lost, n, halted) {
			return nil
		}
	}
	return nil
}

// send hands a value to the receiver and tells whether it was taken. Once halted, it doesn't wait.
func send[T any](channel chan<- T, value T, halted <-chan struct{}) bool {
	// A select of one channel is cheaper than one of two, and the channel mostly has room.
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

// errClosedChannel is what sending to or closing a channel that somebody else has closed gives.
var errClosedChannel = errors.New("channel was closed by somebody else")

func closeChannel[T any](f *feed, channel chan T) (err error) {
	defer f.recoverClosedChannel(&err)
	close(channel)
	return nil
}

// recoverClosedChannel is deferred around operations on a channel, which may be closed.
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
