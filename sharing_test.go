package libbpfgo

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// wantNumbers reads the records that are numbered from first up to end, and no more.
func wantNumbers(t *testing.T, r *RingBufReader, first, end int) {
	t.Helper()
	r.SetDeadline(time.Now().Add(20 * time.Second))
	for i := first; i < end; i++ {
		record, err := r.Read()
		if err != nil || number(record.RawSample) != uint64(i) {
			t.Fatalf("got %+v, %v, want number %d", record, err, i)
		}
	}
	r.SetDeadline(time.Now())
	if record, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the last: %+v, %v", record, err)
	}
}

func TestClosedReaderTakesNothing(t *testing.T) {
	m := loadMain(t)
	r := newRing(t, m, "events")
	attach(t, m, "send_many")
	trigger(200)
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	for range 2 {
		_, err := r.AvailableBytes()
		wantErr(t, err, os.ErrClosed)
		_, err = r.Consume(func(Record) error { return nil })
		wantErr(t, err, os.ErrClosed)
	}
	wantNumbers(t, newRing(t, m, "events"), 1, 200)
}

func TestStopLeavesRecords(t *testing.T) {
	m := loadMain(t)
	events := make(chan []byte)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(300)
	trigger(1000)
	wantSequence(t, events, 0, 1)
	rb.Stop()
	wantNumbers(t, newRing(t, m, "events"), 1, 1000)
	rb.Close()
}

// Close returns only when the buffer is closed, also if another goroutine is closing it already.
func TestSecondCloseWaits(t *testing.T) {
	m := loadMain(t)
	rb := initRing(t, m, "send_many", make(chan []byte))
	reading := &rb.feeder.feeds[0].reader.reading
	reading.Lock()
	closed := make(chan struct{})
	for range 2 {
		go func() {
			rb.Close()
			closed <- struct{}{}
		}()
	}
	select {
	case <-closed:
		t.Error("a buffer is closed, and its reader isn't")
		reading.Unlock()
	case <-time.After(50 * time.Millisecond):
		reading.Unlock()
		<-closed
	}
	<-closed
}

// Several readers of a map share its records. None comes twice, whatever other methods are called.
func TestReadersShareRing(t *testing.T) {
	s := newStream(t)
	n := min(streamedEvents(t), 1_000_000)
	seen := [2][]atomic.Bool{make([]atomic.Bool, n), make([]atomic.Bool, n)}
	var received atomic.Uint64
	whole := make(chan struct{})
	take := func(record []byte) {
		producer, number, err := parse(record)
		if err != nil || number >= n || seen[producer][number].Swap(true) {
			t.Errorf("record %x, %v", record, err)
		}
		if received.Add(1) == 2*n {
			close(whole)
		}
	}
	events := make(chan []byte, 64)
	rb, err := s.m.InitRingBuf("stream", events)
	if err != nil {
		t.Fatal(err)
	}
	readers := []*RingBufReader{newRing(t, s.m, "stream"), newRing(t, s.m, "stream")}
	rb.Poll(300)
	var running sync.WaitGroup
	start := func(f func()) {
		running.Add(1)
		go func() {
			defer running.Done()
			f()
		}()
	}
	start(func() {
		for record := range events {
			take(record)
		}
	})
	for _, r := range readers {
		start(func() {
			for {
				record, err := r.Read()
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				take(record.RawSample)
				if received.Load()%1000 == 0 {
					if _, err := r.AvailableBytes(); err != nil && !errors.Is(err, os.ErrClosed) {
						t.Error(err)
					}
				}
			}
		})
	}
	for producer := range uint64(2) {
		start(func() {
			if err := s.produce(producer, n, nil); err != nil {
				t.Error(err)
			}
		})
	}
	select {
	case <-whole:
	case <-time.After(time.Minute):
		t.Errorf("%d of %d records came", received.Load(), 2*n)
	}
	rb.Close()
	for _, r := range readers {
		r.Close()
	}
	running.Wait()
}

// What a reader leaves is told to those of the same map that wait, whichever was made first.
func TestClosedReaderWakesOthers(t *testing.T) {
	m := loadMain(t)
	waiting := newRing(t, m, "events")
	closing := newRing(t, m, "events")
	attach(t, m, "send_many")
	trigger(200)
	if _, err := closing.Read(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for { // what the other one has not taken
		waiting.SetDeadline(time.Now())
		if _, err := waiting.Read(); err != nil {
			wantErr(t, err, os.ErrDeadlineExceeded)
			break
		}
		n++
	}
	waiting.SetDeadline(time.Now().Add(20 * time.Second))
	first := make(chan error, 1)
	go func() {
		record, err := waiting.Read()
		if err == nil && number(record.RawSample) != 1 {
			err = errors.New("it isn't the second record")
		}
		first <- err
	}()
	time.Sleep(10 * time.Millisecond) // it waits, or soon will
	closing.Close()
	begin := time.Now()
	if err := <-first; err != nil || time.Since(begin) > 10*time.Second {
		t.Errorf("a record that was left came after %v, %v", time.Since(begin), err)
	}
	wantNumbers(t, waiting, 2, 200-n)
}

// Consuming ends though each record causes another one.
func TestConsumeEnds(t *testing.T) {
	// Records that come meanwhile may be taken, too, but no more than a batch of them.
	const there = 1000
	calls := 0
	next := func() error {
		trigger(1)
		if calls++; calls > there+maxRecords {
			return errors.New("it doesn't end")
		}
		return nil
	}
	check := func(t *testing.T, what string, n int, err error) {
		t.Helper()
		if err != nil || n < there || n != calls {
			t.Errorf("%s: %d, %v, %d calls", what, n, err, calls)
		}
		calls = 0
	}
	t.Run("ring", func(t *testing.T) {
		m := loadMain(t)
		r := newRing(t, m, "events")
		attach(t, m, "send_many")
		trigger(there)
		n, err := r.Consume(func(Record) error { return next() })
		check(t, "Consume", n, err)
		n, err = r.Rings()[0].Consume(func(Record) error { return next() })
		check(t, "Consume of the ring", n, err)
	})
	t.Run("perf", func(t *testing.T) {
		cpu := onOneCPU(t)
		m := loadEvents(t)
		r := newPerf(t, m, PerfReaderOptions{})
		attach(t, m, "perf_send_many")
		trigger(there)
		n, err := r.Consume(func(PerfRecord) error { return next() })
		check(t, "Consume", n, err)
		n, err = r.ConsumeBuffer(cpu, func(PerfRecord) error { return next() })
		check(t, "ConsumeBuffer", n, err)
	})
}

// A reader that is closed beside another one leaves it what it hasn't handed out: in order, unless the other one
// has read on before.
func TestClosedReaderLeavesToOpenOne(t *testing.T) {
	for name, readOn := range map[string]bool{"which has read nothing": false, "which has read on": true} {
		t.Run(name, func(t *testing.T) {
			const all = 1000
			m := loadMain(t)
			attach(t, m, "send_many")
			first, second := newRing(t, m, "events"), newRing(t, m, "events")
			trigger(all)
			var got []int
			read := func(r *RingBufReader) {
				record, err := r.Read()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, int(number(record.RawSample)))
			}
			read(first)
			if readOn {
				read(second)
			}
			first.Close()
			for len(got) < all {
				read(second)
			}
			if !readOn && !slices.IsSorted(got) {
				t.Error("the records are out of order")
			}
			slices.Sort(got)
			for i, n := range got {
				if n != i {
					t.Fatalf("record %d is number %d", i, n)
				}
			}
		})
	}
}

func TestReaderSizes(t *testing.T) {
	m := loadEvents(t)
	perfEvents := getMap(t, m, "perf_events")
	for _, pages := range []int{1 << 31, math.MaxInt/2 + 1} {
		_, err := NewPerfReader(perfEvents, PerfReaderOptions{Pages: pages})
		wantErr(t, err, syscall.E2BIG, "pages")
		_, err = m.InitPerfBuf("perf_events", make(chan []byte), nil, pages)
		wantErr(t, err, syscall.E2BIG, "pages")
	}
	onOneCPU(t)
	r := newPerf(t, m, PerfReaderOptions{Pages: 2})
	if got, want := r.BufferSize(), 2*os.Getpagesize()*r.BufferCount(); got != want || r.BufferCount() < 1 {
		t.Errorf("buffers have %d bytes, want %d", got, want)
	}
	attach(t, m, "perf_send_sized")
	for range 3 {
		trigger(80) // which is 84 in the buffer, behind 12
	}
	for left := 3; left > 0; left-- {
		if n, err := r.AvailableBytes(); n != left*96 || err != nil {
			t.Errorf("%d bytes are available, %v, want %d", n, err, left*96)
		}
		var record PerfRecord
		var err error
		if left == 3 {
			err = r.ReadInto(&record)
		} else {
			record, err = r.Read()
		}
		if err != nil || len(record.RawSample) != 84 || left < 3 && cap(record.RawSample) != 84 {
			t.Errorf("%d bytes of %d, %v", len(record.RawSample), cap(record.RawSample), err)
		}
	}
	runtime.KeepAlive(m)
}

func TestRawReaderSizes(t *testing.T) {
	onOneCPU(t)
	m := loadEvents(t)
	r, err := NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{Pages: 2, Attr: *bpfOutput(1)}, func(int, RawPerfEvent) PerfEventRet {
		return PerfEventDone
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	attach(t, m, "perf_send_sized")
	for range 3 {
		trigger(80)
	}
	for left := 3; left > 0; left-- {
		if n, err := r.AvailableBytes(); n != left*96 || err != nil {
			t.Errorf("%d bytes are available, %v, want %d", n, err, left*96)
		}
		if n, err := r.Consume(); n != 1 || err != nil {
			t.Errorf("consumed %d, %v", n, err)
		}
	}
}

func TestNilArguments(t *testing.T) {
	m := loadEvents(t)
	ring, perf := newRing(t, m, "drained"), newPerf(t, m, PerfReaderOptions{})
	_, err := ring.Consume(nil)
	wantErr(t, err, syscall.EINVAL, "nil function")
	_, err = perf.Consume(nil)
	wantErr(t, err, syscall.EINVAL, "nil function")
	_, err = perf.ConsumeBuffer(0, nil)
	wantErr(t, err, syscall.EINVAL, "nil function")
	var none context.Context
	for _, err := range ring.Records(none) {
		wantErr(t, err, syscall.EINVAL, "nil context")
	}
	for _, err := range perf.Records(none) {
		wantErr(t, err, syscall.EINVAL, "nil context")
	}
}
