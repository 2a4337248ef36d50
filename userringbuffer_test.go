package libbpfgo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The flags that the program drain takes.
const (
	drainNoWakeup    = 1
	drainForceWakeup = 2
)

// A drainer drains the samples by the program of testdata/events.bpf.c, and reports which they were.
type drainer struct {
	t       *testing.T
	m       *Module
	drained *RingBufReader
}

func newUserRing(t *testing.T) (*UserRingBuffer, *drainer) {
	t.Helper()
	m := loadEvents(t)
	if supported, err := BPFMapTypeIsSupported(MapTypeUserRingbuf); err != nil || !supported {
		t.Skipf("this kernel has no user ring buffers: %v", err)
	}
	rb, err := NewUserRingBuffer(getMap(t, m, "samples"))
	if err != nil {
		t.Fatal(err)
	}
	drained, err := NewRingBufReader(getMap(t, m, "drained"))
	if err != nil {
		t.Fatal(err)
	}
	attach(t, m, "drain")
	return rb, &drainer{t, m, drained}
}

// drain runs the program and returns its result.
func (d *drainer) drain(flags int) int64 {
	trigger(flags)
	return getCounts(d.t, d.m).Result
}

// set sets what the program is to do, and what it has counted.
func (d *drainer) set(c counts) {
	d.t.Helper()
	key := uint32(0)
	if err := getMap(d.t, d.m, "counts").Update(unsafe.Pointer(&key), unsafe.Pointer(&c)); err != nil {
		d.t.Fatal(err)
	}
}

// want checks the numbers in the samples that were drained since the last time.
func (d *drainer) want(numbers ...uint64) {
	d.t.Helper()
	var got []uint64
	if _, err := d.drained.Consume(func(record Record) error {
		got = append(got, number(record.RawSample))
		return nil
	}); err != nil {
		d.t.Fatal(err)
	}
	if len(got) != len(numbers) {
		d.t.Errorf("drained %d, want %d", got, numbers)
		return
	}
	for i, n := range got {
		if n != numbers[i] {
			d.t.Errorf("drained %d, want %d", got, numbers)
			return
		}
	}
}

func sample(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

func TestUserRingBufferWrite(t *testing.T) {
	rb, d := newUserRing(t)
	for i := range uint64(3) {
		if n, err := rb.Write(sample(i)); n != 8 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := d.drain(0); n != 3 {
		t.Errorf("drained %d samples", n)
	}
	d.want(0, 1, 2)

	// Over and over, around the ring's end.
	for i := range uint64(2000) {
		if _, err := rb.Write(append(sample(i), make([]byte, i%100)...)); err != nil {
			t.Fatal(err)
		}
		d.drain(0)
		d.want(i)
	}

	if rb.BufferSize() != 4096 {
		t.Errorf("the ring has %d bytes", rb.BufferSize())
	}
	_, err := rb.Write(nil)
	wantErr(t, err, syscall.EINVAL, "0 bytes", "samples")
	_, err = rb.Write(make([]byte, 4096-8+1))
	wantErr(t, err, syscall.E2BIG, "4089 bytes")
	full := 0
	for ; ; full++ {
		if _, err = rb.Write(sample(uint64(full))); err != nil {
			break
		}
	}
	wantErr(t, err, ErrNoSpace, "samples")
	wantErr(t, err, syscall.ENOSPC)
	if full != 4096/16 {
		t.Errorf("%d samples fill the ring", full)
	}
	rb.Close()
	rb.Close()
	_, err = rb.Write(sample(1))
	wantErr(t, err, os.ErrClosed, "samples")

	// What was submitted is still there.
	if n := d.drain(0); n != int64(full) {
		t.Errorf("drained %d samples, want %d", n, full)
	}
}

func TestUserRingBufferCallbackStops(t *testing.T) {
	rb, d := newUserRing(t)
	if n, err := rb.WriteBatch([][]byte{sample(1), sample(2), sample(3)}); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	d.set(counts{Stop: 1})
	if n := d.drain(0); n != 1 {
		t.Errorf("drained %d samples, want 1", n)
	}
	d.want(1)
	d.set(counts{})
	if n := d.drain(0); n != 2 {
		t.Errorf("drained %d samples, want 2", n)
	}
	d.want(2, 3)
}

// The kernel lets one program drain at a time: another one, on another CPU, gets EBUSY.
func TestUserRingBufferTwoDrain(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("two CPUs are needed")
	}
	s := newStream(t)
	drained := newRing(t, s.m, "stream")
	rb, err := NewUserRingBuffer(getMap(t, s.m, "samples"))
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		if _, err := rb.Write(streamSample(0, 0)); err != nil {
			t.Fatal(err)
		}
		slow := make(chan error)
		go func() {
			n, err := s.drain(1, 50*time.Millisecond)
			if err == nil && n != 1 {
				err = fmt.Errorf("drained %d samples", n)
			}
			slow <- err
		}()
		if _, err := drained.Read(); err != nil {
			t.Error(err)
		}
		n, err := s.drain(1, 0)
		if err := errors.Join(err, <-slow); err != nil {
			t.Fatal(err)
		}
		switch n {
		case -int(syscall.EBUSY):
			return
		case 0: // the other one was over already
		default:
			t.Fatalf("drain gives %d", n)
		}
	}
	t.Error("two drains were never refused")
}

func TestUserRingBufferWriteBatch(t *testing.T) {
	rb, d := newUserRing(t)
	var samples [][]byte
	var numbers []uint64
	for i := range uint64(200) { // more than go in one go
		samples = append(samples, sample(i))
		numbers = append(numbers, i)
	}
	if n, err := rb.WriteBatch(samples); n != 200 || err != nil {
		t.Fatal(n, err)
	}
	d.drain(0)
	d.want(numbers...)

	n, err := rb.WriteBatch([][]byte{sample(1), nil, sample(3)})
	wantErr(t, err, syscall.EINVAL, "sample 1")
	if n != 1 {
		t.Errorf("%d were written", n)
	}
	if n, err := rb.WriteBatch(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	d.drain(0)
	d.want(1)
	n, err = rb.WriteBatch(append(samples, samples...))
	wantErr(t, err, ErrNoSpace, "sample 256")
	if n != 256 {
		t.Errorf("%d were written", n)
	}
}

func TestUserRingBufferReserve(t *testing.T) {
	rb, d := newUserRing(t)
	reserve := func(n uint64) *Sample {
		t.Helper()
		s, err := rb.Reserve(8)
		if err != nil {
			t.Fatal(err)
		}
		binary.NativeEndian.PutUint64(s.Bytes(), n)
		return s
	}
	first, second, third := reserve(1), reserve(2), reserve(3)
	if err := errors.Join(second.Discard(), third.Submit()); err != nil {
		t.Fatal(err)
	}
	d.drain(0)
	d.want() // the first one, still open, blocks the others
	kept := first.Bytes()
	if err := first.Submit(); err != nil {
		t.Fatal(err)
	}
	kept[0] = 9 // reaches nobody
	wantErr(t, first.Submit(), syscall.EINVAL, "before")
	wantErr(t, first.Discard(), syscall.EINVAL, "before")
	wantErr(t, second.Submit(), syscall.EINVAL, "before")
	if first.Bytes() != nil {
		t.Error("a sample that was submitted has memory")
	}
	d.drain(0)
	d.want(1, 3)

	for size, want := range map[int]error{0: syscall.EINVAL, -1: syscall.EINVAL, 4089: syscall.E2BIG, 1 << 31: syscall.E2BIG, 1 << 40: syscall.E2BIG} {
		_, err := rb.Reserve(size)
		wantErr(t, err, want, "samples")
	}

	warnings := catchWarnings(t)
	open := reserve(4)
	rb.Close()
	wantErr(t, open.Submit(), os.ErrClosed, "samples")
	if text := warnings(); text == "" {
		t.Error("nobody was warned of the open sample")
	}
	d.drain(0)
	d.want()
}

// catchWarnings returns a function that returns the warnings since.
func catchWarnings(t *testing.T) func() string {
	t.Helper()
	var mutex sync.Mutex
	var text string
	SetLoggerCbs(Callbacks{Log: func(level int, msg string) {
		mutex.Lock()
		defer mutex.Unlock()
		text += msg
	}})
	t.Cleanup(func() { setSink(defaultSink()) })
	return func() string {
		mutex.Lock()
		defer mutex.Unlock()
		return text
	}
}

func TestUserRingBufferDroppedSample(t *testing.T) {
	rb, d := newUserRing(t)
	warnings := catchWarnings(t)
	if _, err := rb.Reserve(8); err != nil {
		t.Fatal(err)
	}
	if _, err := rb.Write(sample(5)); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); warnings() == ""; {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("nobody was warned of the dropped sample")
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	d.drain(0)
	d.want(5)
}

func TestUserRingBufferReserveBlocking(t *testing.T) {
	rb, d := newUserRing(t)
	fill := func() {
		for {
			if _, err := rb.Write(sample(1)); err != nil {
				wantErr(t, err, ErrNoSpace)
				return
			}
		}
	}
	fill()
	for _, timeout := range []time.Duration{0, time.Millisecond} {
		_, err := rb.ReserveBlocking(8, timeout)
		wantErr(t, err, ErrNoSpace, "samples")
	}
	got := make(chan error, 3)
	wait := func(timeout time.Duration) {
		go func() {
			s, err := rb.ReserveBlocking(8, timeout)
			if err == nil {
				err = s.Submit()
			}
			got <- err
		}()
	}
	for range 3 {
		wait(-1)
	}
	select {
	case err := <-got:
		t.Fatalf("there was room: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	d.drain(0)
	for range 3 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}

	// Without a wake-up, the room is found when the time is over; with one, at once.
	d.drain(0)
	fill()
	begin := time.Now()
	wait(200 * time.Millisecond)
	time.Sleep(20 * time.Millisecond)
	d.drain(drainNoWakeup)
	if err := <-got; err != nil || time.Since(begin) < 200*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	fill()
	wait(-1)
	time.Sleep(20 * time.Millisecond)
	d.drain(drainNoWakeup)
	d.drain(drainForceWakeup)
	if err := <-got; err != nil {
		t.Error(err)
	}

	fill()
	wait(-1)
	time.Sleep(20 * time.Millisecond)
	rb.Close()
	wantErr(t, <-got, os.ErrClosed, "samples")
}

// A goroutine that waits for ever doesn't delay one whose time is limited.
func TestUserRingBufferTwoWait(t *testing.T) {
	rb, _ := newUserRing(t)
	for {
		if _, err := rb.Write(sample(1)); errors.Is(err, ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	go func() {
		_, err := rb.ReserveBlocking(8, -1)
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	_, err := rb.ReserveBlocking(8, 10*time.Millisecond)
	wantErr(t, err, ErrNoSpace)
	rb.Close()
	wantErr(t, <-ended, os.ErrClosed)
}

// Room that is too small for the goroutine that has waited longest goes to another one.
func TestUserRingBufferWaitersOfAllSizes(t *testing.T) {
	rb, d := newUserRing(t)
	for err := error(nil); !errors.Is(err, ErrNoSpace); {
		if _, err = rb.Write(sample(1)); err != nil && !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
	}
	room := make(chan int)
	wait := func(size int) {
		s, err := rb.ReserveBlocking(size, 20*time.Second)
		if err == nil {
			err = s.Discard()
		}
		if err != nil {
			t.Error(err)
		}
		room <- size
	}
	go wait(4096 - 8)
	time.Sleep(20 * time.Millisecond)
	for range 3 {
		go wait(8)
	}
	time.Sleep(20 * time.Millisecond)
	if _, err := rb.ReserveBlocking(8, time.Millisecond); !errors.Is(err, ErrNoSpace) {
		t.Errorf("the ring is full, and there is room: %v", err)
	}
	d.set(counts{Stop: 1}) // after each sample
	for range 3 {
		if n := d.drain(0); n != 1 {
			t.Fatalf("drained %d samples", n)
		}
		if size := <-room; size != 8 {
			t.Errorf("room of %d bytes was got first", size)
		}
	}
	d.set(counts{})
	d.drain(0)
	if size := <-room; size != 4096-8 {
		t.Errorf("room of %d bytes was got last", size)
	}
}

func TestUserRingBufferChannel(t *testing.T) {
	_, d := newUserRing(t)
	samples := make(chan []byte)
	rb, err := d.m.InitUserRingBuf("samples", samples)
	if err != nil {
		t.Fatal(err)
	}
	rb.Start()
	rb.Start()
	samples <- sample(1)
	samples <- nil // an error, which isn't the end
	samples <- sample(2)
	rb.Stop()
	rb.Stop()
	wantErr(t, rb.Error(), syscall.EINVAL, "0 bytes")
	if err := rb.Error(); err != nil {
		t.Error(err)
	}
	d.drain(0)
	d.want(1, 2)
	rb.Start()
	samples <- sample(3)
	close(samples)
	rb.Stop()
	d.drain(0)
	d.want(3)
	rb.Stop()
	rb.Close()
	rb.Start()
	rb.Close()

	_, err = d.m.InitUserRingBuf("samples", nil)
	wantErr(t, err, syscall.EINVAL, "nil channel")
	_, err = d.m.InitUserRingBuf("nothing", samples)
	wantErr(t, err, syscall.ENOENT, "nothing")
	_, err = d.m.InitUserRingBuf("drained", samples)
	wantErr(t, err, syscall.EINVAL, "USER_RINGBUF")
	_, err = NewUserRingBuffer(nil)
	wantErr(t, err, syscall.EINVAL, "nil map")

	// The module's end ends the sending.
	rb, err = d.m.InitUserRingBuf("samples", make(chan []byte))
	if err != nil {
		t.Fatal(err)
	}
	rb.Start()
	d.m.Close()
	_, err = rb.Write(sample(1))
	wantErr(t, err, os.ErrClosed)
}

func TestUserRingBufferManyProducers(t *testing.T) {
	rb, d := newUserRing(t)
	const each = 3000
	var all sync.WaitGroup
	for p := range uint64(producers) {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := uint64(0); i < each; {
				var n int
				var err error
				switch i % 3 {
				case 0:
					_, err = rb.Write(sample(p*each + i))
					n = 1
				case 1:
					n, err = rb.WriteBatch([][]byte{sample(p*each + i), sample(p*each + i + 1)})
				default:
					var s *Sample
					if s, err = rb.ReserveBlocking(8, -1); err == nil {
						binary.NativeEndian.PutUint64(s.Bytes(), p*each+i)
						err = s.Submit()
					}
					n = 1
				}
				if err == nil || n > 0 && errors.Is(err, ErrNoSpace) && i%3 == 1 {
					i += uint64(n)
				} else if !errors.Is(err, ErrNoSpace) {
					t.Error(err)
					return
				}
			}
		}()
	}
	var next [producers]uint64
	take := func() {
		d.drain(0)
		if _, err := d.drained.Consume(func(record Record) error {
			p, i := number(record.RawSample)/each, number(record.RawSample)%each
			if p >= producers || i != next[p] {
				return fmt.Errorf("producer %d: got %d, of all %d", p, i, next)
			}
			next[p]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for begin := time.Now(); slices.Min(next[:]) < each; take() {
		if time.Since(begin) > time.Minute {
			t.Fatalf("%d samples of %d came", next, each)
		}
	}
	all.Wait()
	take() // nothing comes twice
}

// Samples are written in all ways at once, by buffers that are closed at random: the submitted samples are drained
// once, each producer's in their order.
func TestUserRingBufferAtRandom(t *testing.T) {
	catchWarnings(t) // of samples that are open when a buffer is closed
	s := newStream(t)
	drained := newRing(t, s.m, "stream")
	var next [producers]uint64
	drain := func() (int, error) {
		n, err := s.drain(1+rand.IntN(1000), 0)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("drain gives %d, %v", n, err)
		}
		came, err := drained.Consume(func(record Record) error {
			producer, number, err := parse(record.RawSample)
			if err == nil && number != next[producer] {
				err = fmt.Errorf("producer %d: got number %d, want %d", producer, number, next[producer])
			}
			next[producer]++
			return err
		})
		if err == nil && came != n {
			err = fmt.Errorf("%d samples came of %d", came, n)
		}
		return n, err
	}
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for n := 0; err == nil; n, err = drain() {
			select {
			case <-stop:
				if n == 0 {
					stopped <- nil
					return
				}
			default:
				pause(500)
			}
		}
		stopped <- err
	}()
	closed := 0
	for end := time.Now().Add(randomTime(t)); time.Now().Before(end) && !t.Failed(); closed++ {
		userRingAtRandom(t, s)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	submitted := uint64(0)
	for producer := range s.sent {
		n := s.sent[producer].Load()
		if next[producer] != n {
			t.Errorf("producer %d: %d samples of %d", producer, next[producer], n)
		}
		submitted += n
	}
	t.Logf("%d buffers were closed, %d samples were submitted", closed, submitted)
}

// userRingAtRandom writes samples by forms at random, in several goroutines, until the buffer is closed.
func userRingAtRandom(t *testing.T, s *stream) {
	samples := make(chan []byte)
	rb, err := s.m.InitUserRingBuf("samples", samples)
	if err != nil {
		t.Fatal(err)
	}
	var closing atomic.Bool
	// Each form writes samples from a number on, and returns how many it has submitted.
	body := func(producer, number uint64) []byte {
		return append(streamSample(producer, number), make([]byte, rand.IntN(100))...)
	}
	fill := func(sample *Sample, err error, body []byte) (int, error) {
		if err != nil {
			return 0, err
		}
		copy(sample.Bytes(), body)
		if rand.IntN(4) == 0 {
			return 0, sample.Discard()
		}
		if err := sample.Submit(); err != nil {
			return 0, err
		}
		return 1, nil
	}
	forms := []func(producer, number uint64) (int, error){
		func(producer, number uint64) (int, error) {
			n, err := rb.Write(body(producer, number))
			return min(n, 1), err
		},
		func(producer, number uint64) (int, error) {
			var batch [][]byte
			for i := range rand.Uint64N(200) {
				batch = append(batch, body(producer, number+i))
			}
			return rb.WriteBatch(batch)
		},
		func(producer, number uint64) (int, error) {
			body := body(producer, number)
			sample, err := rb.Reserve(len(body))
			return fill(sample, err, body)
		},
		func(producer, number uint64) (int, error) {
			body := body(producer, number)
			timeouts := []time.Duration{-1, 0, time.Millisecond}
			sample, err := rb.ReserveBlocking(len(body), timeouts[rand.IntN(len(timeouts))])
			return fill(sample, err, body)
		},
	}
	// The channel has one producer, which finds out by Stop whether a sample was sent.
	throughChannel := func(producer, number uint64) (int, error) {
		rb.Start()
		select {
		case samples <- body(producer, number):
		case <-time.After(time.Millisecond): // no more is received once the buffer is closed
			if closing.Load() {
				return 0, os.ErrClosed
			}
			return 0, nil
		}
		rb.Stop()
		if err := rb.Error(); err != nil {
			return 0, err
		}
		return 1, nil
	}
	var all sync.WaitGroup
	for producer := range uint64(producers) {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				form := throughChannel
				if producer > 0 {
					form = forms[rand.IntN(len(forms))]
				}
				n, err := form(producer, s.sent[producer].Load())
				s.sent[producer].Add(uint64(n))
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, ErrNoSpace) {
					t.Error(err)
					return
				}
			}
		}()
	}
	pause(20_000)
	closing.Store(true)
	rb.Close()
	all.Wait()
}

// What the kernel says to positions that make no sense.
func TestUserRingBufferCorruptedPosition(t *testing.T) {
	rb, d := newUserRing(t)
	page := os.Getpagesize()
	// The consumer's page can be read, the producer's and the data be written.
	memory, err := unix.Mmap(getMap(t, d.m, "samples").FileDescriptor(), int64(page), page+2*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	producer := (*uint64)(unsafe.Pointer(&memory[0]))
	header := (*uint32)(unsafe.Pointer(&memory[page]))

	*producer = 3 // no multiple of 8
	if n := d.drain(0); n != -int64(syscall.EINVAL) {
		t.Errorf("drain gives %d for a position of 3", n)
	}
	*producer = 1 << 20
	*header = 8192 // more than the ring has
	if n := d.drain(0); n != -int64(syscall.E2BIG) {
		t.Errorf("drain gives %d for a sample larger than the ring", n)
	}
	*producer = 16
	*header = 1000 // more than the position allows
	if n := d.drain(0); n != -int64(syscall.EINVAL) {
		t.Errorf("drain gives %d for a sample beyond the position", n)
	}
	*producer = 0
	*header = 0
	if _, err := rb.Write(sample(7)); err != nil {
		t.Fatal(err)
	}
	d.drain(0)
	d.want(7)
}
