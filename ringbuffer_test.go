package libbpfgo

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func number(record []byte) uint64 { return binary.NativeEndian.Uint64(record) }

// initRing makes a ring buffer with a program attached that feeds it.
func initRing(t testing.TB, m *Module, program string, events chan []byte) *RingBuffer {
	t.Helper()
	rb, err := m.InitRingBuf("events", events)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, m, program)
	return rb
}

// wantSequence receives n records that are numbered from first, each of 8 bytes that are its own.
func wantSequence(t *testing.T, events <-chan []byte, first, n int) {
	t.Helper()
	for i := range n {
		record := receive(t, events)
		if len(record) != 8 || cap(record) != 8 || number(record) != uint64(first+i) {
			t.Fatalf("record %d: got %x with capacity %d", first+i, record, cap(record))
		}
	}
}

func wantClosed(t *testing.T, events <-chan []byte) {
	t.Helper()
	if record := receive(t, events); record != nil {
		t.Errorf("got %x, want the channel closed", record)
	}
}

func TestRingBufferDeliversInOrder(t *testing.T) {
	for _, capacity := range []int{0, 1, 4096} {
		m := loadMain(t)
		events := make(chan []byte, capacity)
		rb := initRing(t, m, "send_many", events)
		rb.Poll(300)
		const rounds, each = 200, 100
		tokens := make(chan struct{}, 100) // the ring holds 163 times as many records as a round has
		go func() {
			for range rounds {
				tokens <- struct{}{}
				trigger(each)
			}
		}()
		for i := range rounds {
			wantSequence(t, events, i*each, each)
			<-tokens
		}
		rb.Stop()
		wantClosed(t, events)
		if err := rb.Err(); err != nil {
			t.Error(err)
		}
	}
}

// A reader that sleeps must be woken by each single record: one that isn't announced to the
// runtime's poller would hang this.
func TestRingBufferWakesForEachRecord(t *testing.T) {
	m := loadMain(t)
	events := make(chan []byte)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(-1)
	for i := range 20000 {
		trigger(1)
		wantSequence(t, events, i, 1)
	}
}

// Producers on other processors race with the reader's going to sleep; discarded records move the
// reader's position without counting as records. What was sent arrives, though nobody looks for what
// isn't announced.
func TestRingBufferLosesNoWakeUp(t *testing.T) {
	m := loadMain(t, "discard_every", uint32(2))
	events := make(chan []byte, 16)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(-1)
	const producers = 2
	rounds := 20000
	if testing.Short() {
		rounds = 4000
	}
	var triggered, received atomic.Int64
	var all sync.WaitGroup
	for range producers {
		all.Add(1)
		go func() {
			defer all.Done()
			for range rounds {
				trigger(1)
				triggered.Add(1)
				// Let the reader catch up, so that it goes to sleep often. Not for ever: the kernel
				// doesn't run the program every time.
				for n := 0; triggered.Load()-received.Load() > 2 && n < 100; n++ {
					runtime.Gosched()
				}
			}
		}()
	}
	ended := make(chan struct{})
	go func() {
		all.Wait()
		close(ended)
	}()
	seen := make(map[uint64]bool)
	for {
		select {
		case record := <-events:
			n := number(record)
			if seen[n] {
				t.Fatalf("record %d came twice", n)
			}
			seen[n] = true
			received.Add(1)
			continue
		case <-ended:
		}
		break
	}
	for sent := globalOf(t, m, "sent"); uint64(len(seen)) < sent; {
		seen[number(receive(t, events))] = true
	}
	if len(seen) < rounds {
		t.Errorf("only %d records were sent", len(seen))
	}
}

func TestRingBufferFindsUnannouncedRecords(t *testing.T) {
	m := loadMain(t, "no_wakeup", true)
	events := make(chan []byte, 16)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(20)
	for i := range 5 {
		trigger(3)
		wantSequence(t, events, 3*i, 3)
	}
}

func TestRingBufferSlicesBelongToTheReceiver(t *testing.T) {
	m := loadMain(t)
	events := make(chan []byte, 64)
	rb := initRing(t, m, "send_sized", events)
	rb.Poll(300)
	// Sizes around everything that is special: none, alignment, the memory's steps, its whole.
	sizes := []int{0, 1, 7, 8, 9, 63, 64, 65, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8192}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		sizes = append(sizes, rng.IntN(8193))
	}
	tokens := make(chan struct{}, 16) // that many of the largest fit in the ring
	go func() {
		for _, size := range sizes {
			tokens <- struct{}{}
			trigger(size)
		}
	}()
	var kept [][]byte
	for i, size := range sizes {
		record := receive(t, events)
		<-tokens
		if record == nil || len(record) != size || cap(record) != size {
			t.Fatalf("record %d has %d bytes, capacity %d, want %d", i, len(record), cap(record), size)
		}
		kept = append(kept, record)
		// What a receiver appends must not reach another record.
		_ = append(record, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee)
	}
	for i, record := range kept {
		// The program sets 64 bytes and leaves the others as they were.
		n := min(sizes[i], 64)
		if !slices.Equal(record[:n], slices.Repeat([]byte{byte(sizes[i])}, n)) {
			t.Fatalf("record %d of %d bytes was changed: %x", i, sizes[i], record[:n])
		}
	}
}

func TestRingBufferStopsWithFullOrAbandonedChannel(t *testing.T) {
	for _, capacity := range []int{0, 3} {
		m := loadMain(t)
		events := make(chan []byte, capacity)
		rb := initRing(t, m, "send_many", events)
		rb.Poll(300)
		trigger(1000)
		for len(events) < capacity {
			runtime.Gosched()
		}
		rb.Stop()
		// What the channel had taken is still there, in order, and then its end.
		wantSequence(t, events, 0, capacity)
		wantClosed(t, events)
		rb.Stop()
		rb.Close()
		rb.Close()
		if err := rb.Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestModuleCloseEndsAbandonedBuffer(t *testing.T) {
	m := loadMain(t)
	events := make(chan []byte)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(300)
	trigger(1000)
	m.Close()
	wantClosed(t, events)
	if err := rb.Err(); err != nil {
		t.Error(err)
	}
}

// A blocked receiver and a full ring must not keep the processors busy or a record from coming
// once the receiver goes on.
func TestRingBufferGoesOnAfterTheRingWasFull(t *testing.T) {
	m := openMain(t)
	if err := getMap(t, m, "events").SetMaxEntries(4096); err != nil {
		t.Fatal(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	events := make(chan []byte)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(-1)
	next := uint64(0)
	for range 50 {
		trigger(1000) // more than ring and batch hold: the rest is dropped by the kernel
		sent := globalOf(t, m, "sent")
		for ; next < sent; next++ {
			if record := receive(t, events); number(record) != next {
				t.Fatalf("got record %d, want %d", number(record), next)
			}
		}
	}
	if globalOf(t, m, "dropped") == 0 {
		t.Error("the ring was never full")
	}
}

// globalOf returns the value of sent or dropped, which are the whole of .bss.
func globalOf(t *testing.T, m *Module, name string) uint64 {
	t.Helper()
	bss := make([]byte, getMap(t, m, ".bss").ValueSize())
	if err := getMap(t, m, ".bss").LookupElem(make([]byte, 4), bss, 0); err != nil {
		t.Fatal(err)
	}
	offset := slices.Index([]string{"sent", "dropped"}, name) * 8
	return binary.NativeEndian.Uint64(bss[offset:])
}

func TestAddRingBuf(t *testing.T) {
	for _, when := range []string{"before polling", "while polling"} {
		t.Run(when, func(t *testing.T) {
			m := loadMain(t)
			events, more := make(chan []byte), make(chan []byte, 100)
			rb := initRing(t, m, "send_both", events)
			if when == "while polling" {
				rb.Poll(300)
			}
			if ok, err := m.AddRingBuf(rb, "more_events", more); !ok || err != nil {
				t.Fatal(ok, err)
			}
			rb.Poll(300)
			for range 50 {
				trigger(0)
			}
			// Nobody reads the first channel, which must not hold up the second.
			for i := range 50 {
				if n := number(receive(t, more)); n != uint64(2*i+1) {
					t.Fatalf("got %d, want %d", n, 2*i+1)
				}
			}
			for i := range 50 {
				if n := number(receive(t, events)); n != uint64(2*i) {
					t.Fatalf("got %d, want %d", n, 2*i)
				}
			}
			rb.Close()
			wantClosed(t, events)
			wantClosed(t, more)
			_, err := m.AddRingBuf(rb, "more_events", more)
			wantErr(t, err, os.ErrClosed, "more_events")
			if rb.Err() != nil {
				t.Error(rb.Err())
			}
		})
	}
}

func TestRingBufferTwoRingsOneChannel(t *testing.T) {
	m := loadMain(t)
	events := make(chan []byte, 10)
	rb := initRing(t, m, "send_both", events)
	if _, err := m.AddRingBuf(rb, "more_events", events); err != nil {
		t.Fatal(err)
	}
	rb.Poll(300)
	trigger(0)
	got := []uint64{number(receive(t, events)), number(receive(t, events))}
	slices.Sort(got)
	if !slices.Equal(got, []uint64{0, 1}) {
		t.Errorf("got %v", got)
	}
	rb.Close()
	wantClosed(t, events)
	if err := rb.Err(); err != nil {
		t.Error(err)
	}
}

func TestRingBufferOfClosedModuleEndsAlone(t *testing.T) {
	m, other := loadMain(t), loadMain(t)
	events, more := make(chan []byte), make(chan []byte)
	rb := initRing(t, m, "send_many", events)
	if _, err := m.AddRingBuf(rb, "more_events", more); err != nil {
		t.Fatal(err)
	}
	if _, err := other.AddRingBuf(rb, "events", more); err != nil {
		t.Fatal(err)
	}
	rb.Poll(300)
	other.Close()
	trigger(5)
	wantSequence(t, events, 0, 5)
	rb.Close()
	wantClosed(t, events)
	wantClosed(t, more)
}

func TestRingBufferErrors(t *testing.T) {
	m := openMain(t)
	_, err := m.InitRingBuf("events", make(chan []byte))
	wantErr(t, err, syscall.ENOENT, "events", "load")
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	before := countOpenFiles()
	_, err = m.InitRingBuf("nothing", make(chan []byte))
	wantErr(t, err, syscall.ENOENT, "nothing")
	_, err = m.InitRingBuf("events", nil)
	wantErr(t, err, syscall.EINVAL, "events", "nil channel")
	_, err = m.InitRingBuf("numbers", make(chan []byte))
	wantErr(t, err, syscall.EINVAL, "numbers")
	again, err := m.InitRingBuf("events", make(chan []byte))
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.AddRingBuf(again, "events", make(chan []byte))
	wantErr(t, err, syscall.EEXIST, "events", "already")
	again.Close()
	_, err = m.AddRingBuf(nil, "events", make(chan []byte))
	wantErr(t, err, syscall.EINVAL, "nil buffer")
	if n := countOpenFiles(); n != before {
		t.Errorf("%d open descriptors, %d before", n, before)
	}
	m.Close()
	_, err = m.InitRingBuf("events", make(chan []byte))
	wantErr(t, err, os.ErrClosed, "events")
}

func TestRingBufferChannelClosedByTheUser(t *testing.T) {
	for _, when := range []string{"before Poll", "while polling", "idle"} {
		t.Run(when, func(t *testing.T) {
			m := loadMain(t)
			events := make(chan []byte, 1)
			rb := initRing(t, m, "send_many", events)
			if when == "before Poll" {
				close(events)
			}
			rb.Poll(300)
			sent, made := 0, 0
			if when != "before Poll" {
				trigger(1)
				wantSequence(t, events, 0, 1)
				sent, made = 1, 1
				close(events)
				// Closing under a sender is a race, which isn't the matter here: let the feed
				// begin to wait anew.
				reader := rb.feeder.feeds[0].reader
				reader.wakeUp()
				for waits := false; !waits; runtime.Gosched() {
					reader.state.Lock()
					waits = !reader.armed.Equal(past)
					reader.state.Unlock()
				}
			}
			if when == "idle" {
				rb.Stop()
			} else {
				trigger(1)
				made++
				<-rb.feeder.ended
			}
			wantErr(t, rb.Err(), errClosedChannel, "events")
			// What could not be sent is for the next reader, which need not wait for Close.
			wantNumbers(t, newRing(t, m, "events"), sent, made)
			rb.Close()
		})
	}
}

// Many buffers at once: neither a table of slots nor a thread for each may be the limit.
func TestTwoThousandRingBuffers(t *testing.T) {
	m := openMain(t)
	if err := getMap(t, m, "events").SetMaxEntries(4096); err != nil {
		t.Fatal(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	threads := threadCount(t)
	var buffers []*RingBuffer
	for range 2000 {
		rb, err := m.InitRingBuf("more_events", make(chan []byte))
		if errors.Is(err, syscall.EMFILE) {
			t.Skipf("%d buffers opened, more descriptors than the limit allows are needed: %v", len(buffers), err)
		}
		if err != nil {
			t.Fatal(err)
		}
		rb.Poll(300)
		buffers = append(buffers, rb)
	}
	if n := threadCount(t); n > threads+16 {
		t.Errorf("%d threads wait, %d before", n, threads)
	}
	events := make(chan []byte, 1)
	rb := initRing(t, m, "send_many", events)
	rb.Poll(300)
	trigger(1)
	wantSequence(t, events, 0, 1)
}

func threadCount(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// An idle buffer takes no processor time and blocks no thread.
func TestIdleRingBufferCostsNothing(t *testing.T) {
	m := loadMain(t)
	looks := func(timeout int) int32 {
		rb, err := m.InitRingBuf("events", make(chan []byte))
		if err != nil {
			t.Fatal(err)
		}
		defer rb.Close()
		var n atomic.Int32
		reader := rb.feeder.feeds[0].reader
		look := reader.look
		reader.look = func(fd uintptr) bool { n.Add(1); return look(fd) }
		rb.Poll(timeout)
		for n.Load() == 0 {
			runtime.Gosched()
		}
		time.Sleep(100 * time.Millisecond)
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		parked := false
		for g := range strings.SplitSeq(string(stacks), "\n\n") {
			parked = parked || strings.Contains(g, "(*reader).fill") && strings.Contains(g, "[IO wait")
		}
		if timeout < 0 && !parked {
			t.Errorf("an idle reader is not parked:\n%s", stacks)
		}
		return n.Load()
	}
	if n := looks(-1); n != 1 {
		t.Errorf("an idle reader looked %d times", n)
	}
	if n := looks(5); n < 3 {
		t.Errorf("a reader that is to look every 5 ms looked %d times", n)
	}
}

func TestRingBufferConcurrentStopCloseAdd(t *testing.T) {
	for range 30 {
		m := loadMain(t)
		events := make(chan []byte, 8)
		rb := initRing(t, m, "send_many", events)
		var all sync.WaitGroup
		for _, f := range []func(){
			func() { rb.Poll(1) }, rb.Stop, rb.Stop, rb.Close, rb.Close, m.Close,
			func() { _, _ = m.AddRingBuf(rb, "more_events", make(chan []byte)) },
			func() { _ = rb.Err() },
			func() { trigger(100) },
			func() {
				select {
				case <-events:
				case <-time.After(time.Millisecond):
				}
			},
		} {
			all.Add(1)
			go func() {
				defer all.Done()
				f()
			}()
		}
		all.Wait()
		m.Close()
	}
}

// BenchmarkRingBufferChannel measures what a receiver pays for a record that waits in the ring.
func BenchmarkRingBufferChannel(b *testing.B) {
	m := openMain(b)
	if err := getMap(b, m, "events").SetMaxEntries(16 << 20); err != nil {
		b.Fatal(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		b.Fatal(err)
	}
	link := attach(b, m, "send_many")
	const batch = 200 * 1000
	b.ReportAllocs()
	for n := 0; n < b.N; n += batch {
		b.StopTimer()
		for range batch / 1000 {
			trigger(1000)
		}
		events := make(chan []byte, 4096)
		rb, err := m.InitRingBuf("events", events)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		rb.Poll(300)
		for range batch {
			<-events
		}
		b.StopTimer()
		rb.Close()
	}
	_ = link.Destroy()
}
