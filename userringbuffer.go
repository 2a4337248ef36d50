package libbpfgo

/*
#cgo noescape golibbpf_user_ring_write
#cgo nocallback golibbpf_user_ring_write
#cgo noescape user_ring_buffer__reserve
#cgo nocallback user_ring_buffer__reserve
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoSpace means that a user ring buffer is too full for a sample; it is syscall.ENOSPC.
var ErrNoSpace error = syscall.ENOSPC

// A UserRingBuffer sends samples from the process to BPF programs, through a user ring buffer map
// (BPF_MAP_TYPE_USER_RINGBUF, Linux 6.1). The programs read them by bpf_user_ringbuf_drain().
//
// [UserRingBuffer.Write] copies a sample into the ring, [UserRingBuffer.Reserve] reserves room for a sample that is
// written later, and [UserRingBuffer.Start] sends the samples that come from a channel. A map must have one
// UserRingBuffer at a time. All its methods may be called from several goroutines. After Close, they return
// os.ErrClosed (errors.Is); closing the module closes the buffer.
type UserRingBuffer struct {
	module *Module // keeps the module alive, used for nothing else
	ring   *userRing
	// samples is the channel whose samples Start sends, or nil.
	samples chan []byte
}

// A userRing owns the C side of a UserRingBuffer. It doesn't refer to a module, so that the cleanup of a dropped
// module can close it.
type userRing struct {
	object *object
	what   string
	size   int
	wake   *os.File // a descriptor of the map, in the runtime's poller
	raw    syscall.RawConn

	guard // of c, which is freed while producing is locked as well
	c     *C.struct_user_ring_buffer

	producing sync.Mutex // libbpf allows one reservation at a time
	// gathered is memory where samples are collected to be written by one call of C.
	gathered []byte
	polling  chan struct{} // has one element while a goroutine waits in the poller for room
	// retried is closed and replaced each time that goroutine has retried, so that the queued ones retry.
	retried atomic.Pointer[chan struct{}]

	openMutex sync.Mutex
	// open has the reservations that were neither submitted nor discarded.
	open map[*reservation]struct{}

	sending sync.Mutex    // protects the following fields
	stop    chan struct{} // closed to end the sending goroutine; nil without one
	ended   chan struct{} // closed when the sending goroutine has ended; nil before the first Start
	halted  bool          // true once Start must not start again
	err     error         // the first error of sending that Error has not returned yet
}

// InitUserRingBuf creates a buffer. Once [UserRingBuffer.Start] is called, it sends the samples from eventsChan to the
// map mapName. The object must be loaded.
//
// Implements: user_ring_buffer__new
func (m *Module) InitUserRingBuf(mapName string, eventsChan chan []byte) (*UserRingBuffer, error) {
	what := fmt.Sprintf("make user ring buffer of map %q", mapName)
	if eventsChan == nil {
		return nil, failed(fmt.Errorf("nil channel: %w", syscall.EINVAL), what)
	}
	bpfMap, err := m.GetMap(mapName)
	if err != nil {
		return nil, failed(err, what)
	}
	rb, err := NewUserRingBuffer(bpfMap)
	if err != nil {
		return nil, err
	}
	rb.samples = eventsChan
	return rb, nil
}

// NewUserRingBuffer returns a buffer that writes to the map. The map must have been created by the load.
//
// Implements: user_ring_buffer__new
func NewUserRingBuffer(bpfMap *BPFMap) (*UserRingBuffer, error) {
	if bpfMap == nil {
		return nil, failedf(fmt.Errorf("nil map: %w", syscall.EINVAL), "make user ring buffer")
	}
	o := bpfMap.module.in()
	ring := &userRing{
		object:  o,
		what:    fmt.Sprintf("user ring buffer of map %q", bpfMap.name),
		size:    int(bpfMap.MaxEntries()),
		open:    make(map[*reservation]struct{}),
		polling: make(chan struct{}, 1),
	}
	retried := make(chan struct{})
	ring.retried.Store(&retried)
	what := "make " + ring.what
	if err := o.enter(); err != nil {
		return nil, failed(err, what)
	}
	defer o.exit()
	if bpfMap.fd < 0 {
		return nil, failed(errNotCreated, what)
	}
	err := watched(what, func() error {
		var errno error
		if ring.c, errno = C.user_ring_buffer__new(bpfMap.fd, nil); ring.c == nil {
			return pointerError(errno)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	fd, err := joined([]C.int{bpfMap.fd})
	if err == nil {
		if ring.wake, ring.raw, err = pollable(ring.what, fd); err != nil {
			unix.Close(fd)
		}
	}
	if err == nil {
		err = o.adopt(ring)
	}
	if err != nil {
		ring.close()
		return nil, failed(err, what)
	}
	return &UserRingBuffer{module: bpfMap.module, ring: ring}, nil
}

// in returns the ring. For a nil or zero buffer, it returns one that is closed.
func (rb *UserRingBuffer) in() *userRing {
	if rb == nil || rb.ring == nil {
		return noUserRing
	}
	return rb.ring
}

// noUserRing stands for the ring of a nil or zero buffer. It is closed.
var noUserRing = &userRing{
	object: noObject, what: "user ring buffer that was not made", guard: guard{closed: true}, halted: true,
}

// Write copies a sample into the ring and submits it. It doesn't wait. If there is no room, the error is [ErrNoSpace]
// (errors.Is). If the sample with its header of 8 bytes is larger than the ring, the error is syscall.E2BIG.
//
// Implements: user_ring_buffer__reserve, user_ring_buffer__submit
func (rb *UserRingBuffer) Write(sample []byte) (int, error) {
	defer runtime.KeepAlive(rb)
	if err := rb.in().write(sample); err != nil {
		return 0, failedf(err, "write %d bytes to %s", len(sample), rb.in().what)
	}
	return len(sample), nil
}

func (ring *userRing) write(sample []byte) error {
	if err := checkSampleSize(len(sample)); err != nil {
		return err
	}
	size := C.uint32_t(len(sample))
	var written C.size_t
	ring.producing.Lock()
	defer ring.producing.Unlock()
	if ring.c == nil {
		return os.ErrClosed
	}
	return codeOf(C.golibbpf_user_ring_write(ring.c, (*C.char)(unsafe.Pointer(&sample[0])), &size, 1, &written))
}

func checkSampleSize(size int) error {
	switch {
	case size <= 0:
		return fmt.Errorf("sample of %d bytes: %w", size, syscall.EINVAL)
	case size > math.MaxInt32:
		return syscall.E2BIG
	}
	return nil
}

// WriteBatch is Write for several samples, in their order. It returns the number of samples that were written. It
// stops at the first sample that can't be written and returns its error.
//
// Implements: user_ring_buffer__reserve, user_ring_buffer__submit
func (rb *UserRingBuffer) WriteBatch(samples [][]byte) (int, error) {
	defer runtime.KeepAlive(rb)
	written := 0
	for written < len(samples) {
		n, err := rb.in().writeSome(samples[written:])
		written += n
		if err != nil {
			return written, failedf(err, "write sample %d to %s", written, rb.in().what)
		}
	}
	return written, nil
}

const (
	// maxSamples and maxGathered limit the number of samples, and their bytes, that are written by one call of C.
	maxSamples  = 128
	maxGathered = 16 << 10
)

// writeSome writes at least one sample or returns an error. It collects several samples in one piece of memory, so
// that they need one call of C.
func (ring *userRing) writeSome(samples [][]byte) (int, error) {
	if len(samples[0]) > maxGathered {
		if err := ring.write(samples[0]); err != nil {
			return 0, err
		}
		return 1, nil
	}
	var sizes [maxSamples]C.uint32_t
	var written C.size_t
	n := 0
	ring.producing.Lock()
	defer ring.producing.Unlock()
	if ring.c == nil {
		return 0, os.ErrClosed
	}
	gathered := ring.gathered[:0]
	for _, sample := range samples[:min(len(samples), maxSamples)] {
		if len(sample) == 0 || len(gathered)+len(sample) > maxGathered {
			break
		}
		gathered = append(gathered, sample...)
		sizes[n] = C.uint32_t(len(sample))
		n++
	}
	ring.gathered = gathered
	if n == 0 {
		return 0, checkSampleSize(0)
	}
	err := codeOf(C.golibbpf_user_ring_write(ring.c, (*C.char)(unsafe.Pointer(&gathered[0])), &sizes[0], C.size_t(n), &written))
	return int(written), err
}

// A Sample is reserved room in a user ring buffer. It must be submitted or discarded: until then, samples that were
// reserved after it don't reach BPF programs. A sample that is dropped is discarded by the garbage collector, and a
// sample that is still open when its buffer is closed is discarded, too; both log a warning.
//
// A sample must be used by one goroutine at a time.
type Sample struct {
	buffer      *UserRingBuffer // keeps the buffer's module alive, used for nothing else
	ring        *userRing
	reservation *reservation
	data        []byte
	cleanup     runtime.Cleanup
}

// A reservation is a sample's room in the ring.
type reservation struct {
	room unsafe.Pointer
	size int
}

// Reserve reserves room for a sample of size bytes, without waiting. Its errors are those of [UserRingBuffer.Write].
//
// Implements: user_ring_buffer__reserve
func (rb *UserRingBuffer) Reserve(size int) (*Sample, error) {
	return rb.reserved(size, func() (*Sample, error) { return rb.in().reserve(size) })
}

// reserved calls reserve and makes the sample keep the buffer, and thereby its module, alive.
func (rb *UserRingBuffer) reserved(size int, reserve func() (*Sample, error)) (*Sample, error) {
	sample, err := reserve()
	if err != nil {
		return nil, failedf(err, "reserve %d bytes of %s", size, rb.in().what)
	}
	sample.buffer = rb
	return sample, nil
}

func (ring *userRing) reserve(size int) (*Sample, error) {
	if err := ring.enter(); err != nil {
		return nil, err
	}
	defer ring.exit()
	if err := checkSampleSize(size); err != nil {
		return nil, err
	}
	r := &reservation{size: size}
	var errno error
	ring.producing.Lock()
	r.room, errno = C.user_ring_buffer__reserve(ring.c, C.uint32_t(size))
	ring.producing.Unlock()
	if r.room == nil {
		return nil, pointerError(errno)
	}
	ring.openMutex.Lock()
	ring.open[r] = struct{}{}
	ring.openMutex.Unlock()
	sample := &Sample{ring: ring, reservation: r, data: make([]byte, size)}
	sample.cleanup = runtime.AddCleanup(sample, ring.dropped, r)
	return sample, nil
}

// ReserveBlocking is Reserve, but waits for room. If timeout isn't negative, it waits no longer than that. It is woken
// when a BPF program has drained samples, except with BPF_RB_NO_WAKEUP, and retries once more when the time is over.
//
// Implements: user_ring_buffer__reserve_blocking
func (rb *UserRingBuffer) ReserveBlocking(size int, timeout time.Duration) (*Sample, error) {
	return rb.reserved(size, func() (*Sample, error) { return rb.in().reserveBlocking(size, timeout) })
}

func (ring *userRing) reserveBlocking(size int, timeout time.Duration) (*Sample, error) {
	retried := ring.retried.Load()
	sample, err := ring.reserve(size)
	if !errors.Is(err, ErrNoSpace) || timeout == 0 {
		return sample, err
	}
	var deadline time.Time
	var over <-chan time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
		over = time.After(timeout)
	}
	// The poller has one deadline for all waiting goroutines. So one goroutine waits there, and the others wait until
	// it has retried.
	for polls := false; !polls; {
		select {
		case ring.polling <- struct{}{}:
			polls = true
		case <-*retried:
			retried = ring.retried.Load()
			if sample, err = ring.reserve(size); !errors.Is(err, ErrNoSpace) {
				return sample, err
			}
		case <-over:
			return ring.reserve(size)
		}
	}
	defer func() { <-ring.polling }()
	if err := ring.wake.SetWriteDeadline(deadline); err != nil {
		return nil, os.ErrClosed
	}
	waitErr := ring.raw.Write(func(uintptr) bool {
		sample, err = ring.reserve(size)
		next := make(chan struct{})
		close(*ring.retried.Swap(&next))
		return !errors.Is(err, ErrNoSpace)
	})
	switch {
	case waitErr == nil:
		return sample, err
	case errors.Is(waitErr, os.ErrDeadlineExceeded):
		return ring.reserve(size)
	default: // for a closed file, the poller returns an error of its own
		return nil, os.ErrClosed
	}
}

// Bytes returns the sample's memory, which is zero at first. It returns nil once the sample is submitted or discarded.
// What is written to the memory after that is not sent.
func (s *Sample) Bytes() []byte {
	if s == nil {
		return nil
	}
	return s.data
}

// errSampleEnded is the error for a sample that was submitted or discarded before.
var errSampleEnded = fmt.Errorf("it was submitted or discarded before: %w", syscall.EINVAL)

// Submit sends the sample to BPF programs. If the sample was submitted or discarded before, it returns an error.
//
// Implements: user_ring_buffer__submit
func (s *Sample) Submit() error {
	if s == nil || s.ring == nil {
		return failed(errSampleEnded, "submit sample")
	}
	if err := s.end(true); err != nil {
		return failed(err, "submit sample to "+s.ring.what)
	}
	return nil
}

// Discard releases the sample's room: BPF programs skip it. If the sample was submitted or discarded before, it
// returns an error.
//
// Implements: user_ring_buffer__discard
func (s *Sample) Discard() error {
	if s == nil || s.ring == nil {
		return failed(errSampleEnded, "discard sample")
	}
	if err := s.end(false); err != nil {
		return failed(err, "discard sample of "+s.ring.what)
	}
	return nil
}

func (s *Sample) end(submit bool) error {
	data := s.data
	s.data = nil
	s.cleanup.Stop()
	if err := s.ring.enter(); err != nil {
		return err
	}
	defer s.ring.exit()
	if data == nil {
		return errSampleEnded
	}
	s.ring.end(s.reservation, data, submit)
	return nil
}

// end submits or discards a reservation, once. The caller has entered the ring's guard.
func (ring *userRing) end(r *reservation, data []byte, submit bool) {
	ring.openMutex.Lock()
	_, open := ring.open[r]
	delete(ring.open, r)
	ring.openMutex.Unlock()
	switch {
	case !open:
	case submit:
		copy(unsafe.Slice((*byte)(r.room), r.size), data)
		C.user_ring_buffer__submit(ring.c, r.room)
	default:
		C.user_ring_buffer__discard(ring.c, r.room)
	}
}

// dropped discards a sample that was dropped. The garbage collector calls it.
func (ring *userRing) dropped(r *reservation) {
	if ring.enter() != nil {
		return
	}
	ring.end(r, nil, false)
	ring.exit()
	ring.warn("a sample was neither submitted nor discarded")
}

func (ring *userRing) warn(msg string) {
	currentSink().emit(LibbpfWarnLevel, fmt.Sprintf("libbpfgo: %s: %s\n", ring.what, msg))
}

// close stops the sending, discards the open reservations, and frees the ring.
func (ring *userRing) close() {
	ring.stopSending(true)
	if ring.wake != nil {
		ring.wake.Close()
	}
	if ring.lock() != nil {
		return
	}
	ring.closed = true
	open := len(ring.open)
	for r := range ring.open {
		C.user_ring_buffer__discard(ring.c, r.room)
	}
	clear(ring.open)
	ring.producing.Lock()
	C.user_ring_buffer__free(ring.c)
	ring.c = nil
	ring.producing.Unlock()
	ring.unlock()
	if open > 0 { // outside of the locks: the receiver of the message may use the buffer
		ring.warn(fmt.Sprintf("closed with %d samples that were neither submitted nor discarded", open))
	}
}

// Start starts to send the samples from the channel of [Module.InitUserRingBuf], until [UserRingBuffer.Stop] is called
// or the channel is closed. A sample that can't be sent is dropped, and [UserRingBuffer.Error] returns the reason.
// While sending, a second call does nothing.
func (rb *UserRingBuffer) Start() {
	ring := rb.in()
	ring.sending.Lock()
	defer ring.sending.Unlock()
	if ring.stop != nil || ring.halted || rb.samples == nil {
		return
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	ring.stop, ring.ended = stop, ended
	go func() {
		defer close(ended)
		for {
			select {
			case sample, ok := <-rb.samples:
				if !ok {
					return
				}
				if _, err := rb.Write(sample); err != nil {
					ring.storeError(err)
				}
			case <-stop:
				return
			}
		}
	}()
}

// storeError stores err for Error, unless an earlier error is stored.
func (ring *userRing) storeError(err error) {
	ring.sending.Lock()
	defer ring.sending.Unlock()
	if ring.err == nil {
		ring.err = err
	}
}

// Error returns the first error of sending since the last call of Error, or nil.
func (rb *UserRingBuffer) Error() error {
	ring := rb.in()
	ring.sending.Lock()
	defer ring.sending.Unlock()
	err := ring.err
	ring.err = nil
	return err
}

// Stop ends the sending from the channel, which stays open. Samples in the channel stay there. Start can be called
// again.
func (rb *UserRingBuffer) Stop() {
	rb.in().stopSending(false)
}

func (ring *userRing) stopSending(forGood bool) {
	ring.sending.Lock()
	ring.halted = ring.halted || forGood
	if ring.stop != nil {
		close(ring.stop)
		ring.stop = nil
	}
	ended := ring.ended
	ring.sending.Unlock()
	if ended != nil {
		<-ended
	}
}

// Close stops the sending and frees the buffer. Samples that were submitted stay in the ring. Closing
// again does nothing.
//
// Implements: user_ring_buffer__free
func (rb *UserRingBuffer) Close() {
	ring := rb.in()
	ring.close()
	ring.object.disown(ring)
}

// BufferSize returns the ring's size in bytes. Each sample in it has a header of 8 bytes.
func (rb *UserRingBuffer) BufferSize() int {
	return rb.in().size
}
