package libbpfgo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
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

// loadEvents loads testdata/events.bpf.o for this process.
func loadEvents(t testing.TB) *Module {
	t.Helper()
	needBPF(t)
	m, err := NewModuleFromFile("testdata/events.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
		t.Fatal(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	return m
}

// counts are struct counts of testdata/events.bpf.c.
type counts struct {
	Sent, Failed uint64
	Result       int64
	Stop         uint64
}

func getCounts(t testing.TB, m *Module) counts {
	t.Helper()
	key := uint32(0)
	value, err := getMap(t, m, "counts").GetValue(unsafe.Pointer(&key))
	if err != nil {
		t.Fatal(err)
	}
	var c counts
	if _, err := binary.Decode(value, binary.NativeEndian, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func newPerf(t testing.TB, m *Module, opts PerfReaderOptions) *PerfReader {
	t.Helper()
	r, err := NewPerfReader(getMap(t, m, "perf_events"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// onOneCPU keeps the test's thread where it is, so that events come from one CPU.
func onOneCPU(t testing.TB) int {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !before.IsSet(cpu) {
		cpu++
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	return cpu
}

func TestPerfBufferDelivers(t *testing.T) {
	onOneCPU(t)
	m := loadEvents(t)
	events, lost := make(chan []byte, 10), make(chan uint64)
	pb, err := m.InitPerfBuf("perf_events", events, lost, 4)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, m, "perf_send_many")
	pb.Poll(300)
	pb.Poll(300) // changes nothing
	for i := range 300 {
		trigger(2)
		for k := range 2 {
			// The kernel pads the event with its size of 4 bytes to a multiple of 8.
			event := receive(t, events)
			if len(event) != 12 || cap(event) != 12 || number(event) != uint64(2*i+k) {
				t.Fatalf("got %x with capacity %d", event, cap(event))
			}
		}
	}
	pb.Stop()
	wantClosed(t, events)
	if n, open := <-lost; open {
		t.Errorf("%d events are lost", n)
	}
	pb.Stop()
	pb.Close()
	pb.Close()
	if err := pb.Err(); err != nil {
		t.Error(err)
	}
}

func TestPerfBufferCountsWhatIsLost(t *testing.T) {
	onOneCPU(t)
	m := loadEvents(t)
	events, lost := make(chan []byte), make(chan uint64)
	pb, err := m.InitPerfBuf("perf_events", events, lost, 1)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, m, "perf_send_many")
	pb.Poll(-1)
	// Nobody receives: not even numbers of lost events hold up anything for ever.
	for range 20 {
		trigger(1000)
	}
	received, dropped := uint64(0), uint64(0)
	sent := getCounts(t, m).Sent
	for begin := time.Now(); received+dropped != sent; {
		select {
		case <-events:
			received++
		case n := <-lost:
			dropped += n
		case <-time.After(20 * time.Millisecond):
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("%d received, %d lost of %d", received, dropped, sent)
			}
			// The kernel reports the number of lost events together with the next event that isn't lost.
			trigger(1)
			sent++
		}
	}
	if dropped == 0 {
		t.Error("nothing was lost")
	}
	if c := getCounts(t, m); c.Sent != sent {
		t.Errorf("%d events were sent, %d are accounted for", c.Sent, sent)
	}
}

// Stop ends the polling when nobody receives events nor numbers of lost ones.
func TestPerfBufferStopsWithoutReceivers(t *testing.T) {
	m := loadEvents(t)
	for range 10 {
		events, lost := make(chan []byte), make(chan uint64)
		pb, err := m.InitPerfBuf("perf_events", events, lost, 1)
		if err != nil {
			t.Fatal(err)
		}
		link := attach(t, m, "perf_send_many")
		pb.Poll(300)
		trigger(1000)
		receive(t, events) // it is under way
		trigger(1000)
		pb.Stop()
		wantClosed(t, events)
		for range lost {
		}
		if err := link.Destroy(); err != nil {
			t.Error(err)
		}
		pb.Close()
	}
}

func TestPerfBufferBadInput(t *testing.T) {
	m := loadEvents(t)
	leaksNothing(t, func() {
		events := make(chan []byte)
		_, err := m.InitPerfBuf("perf_events", nil, nil, 1)
		wantErr(t, err, syscall.EINVAL, "nil channel", "perf_events")
		_, err = m.InitPerfBuf("nothing", events, nil, 1)
		wantErr(t, err, syscall.ENOENT, "nothing")
		_, err = m.InitPerfBuf("drained", events, nil, 1)
		wantErr(t, err, syscall.EINVAL, "drained", "PERF_EVENT_ARRAY")
		for _, pages := range []int{-1, 0, 3} {
			_, err = m.InitPerfBuf("perf_events", events, nil, pages)
			wantErr(t, err, syscall.EINVAL, "power of two")
		}
		_, err = NewPerfReader(nil, PerfReaderOptions{})
		wantErr(t, err, syscall.EINVAL, "nil map")
		_, err = NewPerfReader(getMap(t, m, "perf_events"), PerfReaderOptions{WakeupEvents: -1})
		wantErr(t, err, syscall.EINVAL, "-1 events")
		_, err = NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{Pages: 1}, nil)
		wantErr(t, err, syscall.EINVAL, "nil function")
		noFunction := func(int, RawPerfEvent) PerfEventRet { return PerfEventCont }
		_, err = NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{Pages: 1, CPUs: []int{0}}, noFunction)
		wantErr(t, err, syscall.EINVAL, "1 CPUs and 0 keys")
		// A CPU that isn't there.
		_, err = NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{
			Pages: 1, CPUs: []int{1 << 20}, MapKeys: []int{0}, Attr: *bpfOutput(1),
		}, noFunction)
		wantErr(t, err, syscall.EINVAL, "perf_events")
		r := newPerf(t, m, PerfReaderOptions{Pages: 1})
		wantErr(t, r.ReadInto(nil), syscall.EINVAL, "nil record")
		_, err = r.BufferFD(r.BufferCount())
		wantErr(t, err, syscall.EINVAL, "there are")
		_, err = r.Buffer(-1)
		wantErr(t, err, syscall.EINVAL, "buffer -1")
		_, err = r.ConsumeBuffer(-1, nil)
		wantErr(t, err, syscall.EINVAL, "buffer -1")
		r.Close()
	})
}

func TestPerfReader(t *testing.T) {
	cpu := onOneCPU(t)
	m := loadEvents(t)
	r := newPerf(t, m, PerfReaderOptions{Pages: 64})
	if online := runtime.NumCPU(); r.BufferCount() < online {
		t.Errorf("%d buffers for %d CPUs", r.BufferCount(), online)
	}
	attach(t, m, "perf_send_many")
	const each = 600 // more than a batch
	next, end := uint64(0), uint64(0)
	check := func(record PerfRecord) {
		t.Helper()
		if record.CPU != cpu || record.LostSamples != 0 || len(record.RawSample) != 12 || number(record.RawSample) != next {
			t.Fatalf("got %+v, want number %d of CPU %d", record, next, cpu)
		}
		next++
		const size = 8 + 4 + 12 // with the event's header and size
		if want := int(getCounts(t, m).Sent-next) * size; record.Remaining != want {
			t.Fatalf("%d bytes remain, want %d", record.Remaining, want)
		}
	}
	var kept []PerfRecord
	var into PerfRecord
	batch := make([]PerfRecord, 100)
	for name, read := range map[string]func(){
		"Read": func() {
			record, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			check(record)
			kept = append(kept, record)
		},
		"ReadInto": func() {
			if err := r.ReadInto(&into); err != nil {
				t.Fatal(err)
			}
			check(into)
		},
		"ReadBatch": func() {
			n, err := r.ReadBatch(batch)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			for _, record := range batch[:n] {
				check(record)
			}
		},
		"Records": func() {
			for record, err := range r.Records(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				check(record)
				if next%7 == 0 || next == end {
					break
				}
			}
		},
		"Consume": func() {
			stop := errors.New("stop")
			n, err := r.Consume(func(record PerfRecord) error {
				check(record)
				if number(record.RawSample)%7 == 6 {
					return stop
				}
				return nil
			})
			if err != stop && err != nil || n == 0 {
				t.Fatal(n, err)
			}
		},
	} {
		end = next + each
		trigger(each)
		for next < end {
			read()
		}
		if t.Failed() {
			t.Fatalf("after %s", name)
		}
	}
	// All at once, in any order.
	trigger(each)
	for end = next + each; next < end; {
		record, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		check(record)
		if next < end {
			if err := r.ReadInto(&into); err != nil {
				t.Fatal(err)
			}
			check(into)
		}
		if next < end {
			n, err := r.ReadBatch(batch[:1])
			if err != nil || n != 1 {
				t.Fatal(n, err)
			}
			check(batch[0])
		}
	}
	for i, record := range kept {
		if i > 0 && number(record.RawSample) <= number(kept[i-1].RawSample) {
			t.Errorf("record %d that was kept is %x now, after %x", i, record.RawSample, kept[i-1].RawSample)
		}
	}
}

func TestPerfReaderReadsSizes(t *testing.T) {
	onOneCPU(t)
	m := loadEvents(t)
	r := newPerf(t, m, PerfReaderOptions{Pages: 8})
	attach(t, m, "perf_send_sized")
	for _, size := range []int{0, 1, 8, 20, 4000, 8192, 500} {
		for range 2 {
			trigger(size)
			record, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			want := (size+4+7)/8*8 - 4
			if len(record.RawSample) != want || size >= 16 && record.RawSample[15] != byte(size) {
				t.Errorf("%d bytes came as %d", size, len(record.RawSample))
			}
		}
	}
}

// An event that a batch had no room for isn't another buffer's.
func TestPerfReaderConsumeBuffer(t *testing.T) {
	m := loadEvents(t)
	attach(t, m, "perf_send_sized")
	r := newPerf(t, m, PerfReaderOptions{Pages: 8})
	cpu := onOneCPU(t)
	for _, size := range []int{20, 8000, 28} {
		trigger(size)
	}
	var record PerfRecord
	if err := r.ReadInto(&record); err != nil || len(record.RawSample) != 20 || record.Remaining != 8016+40 {
		t.Errorf("%d bytes, %d remain, %v", len(record.RawSample), record.Remaining, err)
	}
	for i := range r.BufferCount() {
		var got []int
		if _, err := r.ConsumeBuffer(i, func(record PerfRecord) error {
			got = append(got, len(record.RawSample))
			if record.CPU != cpu {
				t.Errorf("an event of CPU %d in the buffer of CPU %d", record.CPU, i)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if want := map[bool][]int{true: {8004, 28}}[i == cpu]; !slices.Equal(got, want) {
			t.Errorf("buffer %d: events of %d bytes, want %d", i, got, want)
		}
	}
}

// A perfStream sends to the buffers of two CPUs, or of one if there is no second, by a producer for each.
type perfStream struct {
	*stream
	cpus []int
}

func newPerfStream(t *testing.T) *perfStream {
	t.Helper()
	s := newStream(t)
	s.send = getProgram(t, s.m, "send_perf")
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < min(2, allowed.Count()); cpu++ {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return &perfStream{s, cpus}
}

// eachCPU runs f for each producer, on its CPU, and waits until all have ended.
func (s *perfStream) eachCPU(t *testing.T, f func(producer uint64) error) {
	var all sync.WaitGroup
	for producer, cpu := range s.cpus {
		all.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread() // the thread ends with the goroutine
			var one unix.CPUSet
			one.Set(cpu)
			if err := unix.SchedSetaffinity(0, &one); err != nil {
				t.Error(err)
			} else if err := f(uint64(producer)); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
}

// sendEach sends n events from each CPU.
func (s *perfStream) sendEach(t *testing.T, n uint64) {
	s.eachCPU(t, func(producer uint64) error { return s.produce(producer, n, nil) })
}

// start sends until the function that it returns is called, which may be called again.
func (s *perfStream) start(t *testing.T) (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.eachCPU(t, func(producer uint64) error {
			for {
				select {
				case <-stopped:
					return nil
				default:
				}
				if err := s.produce(producer, rand.Uint64N(500), stopped); err != nil {
					return err
				}
				pause(1000)
			}
		})
	}()
	return sync.OnceFunc(func() {
		close(stopped)
		<-ended
	})
}

// parsePerf returns what an event of the stream says.
func parsePerf(event []byte) (producer, number uint64, err error) {
	// The kernel pads an event with its size of 4 bytes to a multiple of 8.
	size := len(event) - 4
	if size < 24 {
		return 0, 0, fmt.Errorf("event of %d bytes", len(event))
	}
	producer, number, err = parse(slices.Concat(event[:16], event[size-8:size]))
	if want := map[bool]int{true: 3000, false: 24}[number%50 == 49]; err == nil && size != want {
		err = fmt.Errorf("event %d of %d bytes, want %d", number, size, want)
	}
	return producer, number, err
}

// A perfTally is what one reader has got of a perfStream.
type perfTally struct {
	s       *perfStream
	ordered bool // events come in their order, and so do the numbers of lost ones

	mutex sync.Mutex
	// next is how many events of each producer were sent before, have come, or are lost.
	next [2]uint64
	lost uint64
	seen map[[2]uint64]bool
	kept [][]byte
	// told is how many are lost, as a channel says; nil where there is none.
	told *atomic.Uint64
}

// tally returns the tally of a reader that is made while nothing is sent.
func (s *perfStream) tally(ordered bool) *perfTally {
	return &perfTally{
		s: s, ordered: ordered, seen: make(map[[2]uint64]bool),
		next: [2]uint64{s.sent[0].Load(), s.sent[1].Load()},
	}
}

func (l *perfTally) add(record PerfRecord) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if record.LostSamples > 0 {
		producer := slices.Index(l.s.cpus, record.CPU)
		if producer < 0 || len(record.RawSample) > 0 {
			return fmt.Errorf("lost: %+v", record)
		}
		l.next[producer] += record.LostSamples
		l.lost += record.LostSamples
		return nil
	}
	producer, number, err := parsePerf(record.RawSample)
	switch {
	case err != nil:
		return err
	case l.s.cpus[producer] != record.CPU:
		return fmt.Errorf("an event of CPU %d comes from CPU %d", l.s.cpus[producer], record.CPU)
	case l.ordered && number != l.next[producer]:
		return fmt.Errorf("CPU %d: got number %d, want %d", record.CPU, number, l.next[producer])
	case l.seen[[2]uint64{producer, number}]:
		return fmt.Errorf("CPU %d: number %d came twice", record.CPU, number)
	}
	l.seen[[2]uint64{producer, number}] = true
	l.next[producer]++
	return nil
}

// keep is add of a record that belongs to the caller.
func (l *perfTally) keep(record PerfRecord) error {
	l.mutex.Lock()
	if record.LostSamples == 0 {
		l.kept = append(l.kept, record.RawSample)
	}
	l.mutex.Unlock()
	return l.add(record)
}

// keepOrdered is keep for an event from a channel, whose CPU and preceding losses are unknown.
func (l *perfTally) keepOrdered(event []byte) error {
	producer, number, err := parsePerf(event)
	if err != nil {
		return err
	}
	cpu := l.s.cpus[producer]
	if next := l.next[producer]; number > next {
		if err := l.add(PerfRecord{CPU: cpu, LostSamples: number - next}); err != nil {
			return err
		}
	}
	return l.keep(PerfRecord{CPU: cpu, RawSample: event})
}

// whole reports whether all that was sent has come or is known to be lost.
func (l *perfTally) whole() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.next == [2]uint64{l.s.sent[0].Load(), l.s.sent[1].Load()} && (l.told == nil || l.told.Load() == l.lost)
}

// complete repeatedly sends an event, with which the kernel reports the number of lost ones, until all that was sent
// has come or is known to be lost.
func (l *perfTally) complete(t *testing.T) {
	for begin := time.Now(); !l.whole() && !t.Failed(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Errorf("%d have come or are lost, %d are lost, sent: %d, %d", l.next, l.lost, l.s.sent[0].Load(), l.s.sent[1].Load())
		}
		l.s.sendEach(t, 1)
	}
}

// check fails the test if more has come than was sent, or if events that were kept have changed.
func (l *perfTally) check(t *testing.T) {
	for producer, n := range l.next {
		if sent := l.s.sent[producer].Load(); n > sent {
			t.Errorf("producer %d: %d events have come or are lost, of %d", producer, n, sent)
		}
	}
	for _, event := range l.kept {
		if _, _, err := parsePerf(event); err != nil {
			t.Errorf("kept: %v", err)
		}
	}
}

// errNothing is returned by forms of reading that don't wait.
var errNothing = fmt.Errorf("nothing is there: %w", os.ErrDeadlineExceeded)

// orNothing returns errNothing if a call that doesn't wait has read nothing.
func orNothing(n int, err error) error {
	if n == 0 && err == nil {
		return errNothing
	}
	return err
}

// perfForms are the forms of reading events, all of them for one goroutine.
func perfForms(r *PerfReader, got *perfTally) map[string]func() error {
	consume := func(consume func(f func(PerfRecord) error) (int, error)) error {
		left, enough := rand.IntN(300), errors.New("enough")
		n, err := consume(func(record PerfRecord) error {
			if err := got.add(record); err != nil {
				return err
			}
			if left--; left < 0 {
				return enough
			}
			return nil
		})
		if err == enough {
			return nil
		}
		return orNothing(n, err)
	}
	return map[string]func() error{
		"Read": func() error {
			record, err := r.Read()
			if err != nil {
				return err
			}
			return got.keep(record)
		},
		"ReadInto": func() error {
			var record PerfRecord
			if err := r.ReadInto(&record); err != nil {
				return err
			}
			return got.keep(record)
		},
		"Records": func() error {
			left := rand.IntN(300)
			for record, err := range r.Records(context.Background()) {
				if err != nil {
					return err
				}
				if err := got.add(record); err != nil {
					return err
				}
				if left--; left < 0 {
					break
				}
			}
			return nil
		},
		"Consume": func() error { return consume(r.Consume) },
		"ConsumeBuffer": func() error {
			return consume(func(f func(PerfRecord) error) (n int, err error) {
				for i := 0; i < r.BufferCount() && err == nil; i++ {
					var some int
					some, err = r.ConsumeBuffer(i, f)
					n += some
				}
				return n, err
			})
		},
		"ReadBatch": func() error {
			var records [70]PerfRecord
			n, err := r.ReadBatch(records[:1+rand.IntN(len(records))])
			for _, record := range records[:n] {
				err = errors.Join(err, got.add(record))
			}
			return err
		},
	}
}

// newPerfRaw makes the raw form of a perf buffer, which is read in forms, too.
func newPerfRaw(t *testing.T, pages int, got *perfTally) (*PerfBufferRaw, map[string]func() error) {
	t.Helper()
	p, err := NewPerfBufferRaw(getMap(t, got.s.m, "perf_events"), PerfBufferRawOptions{Pages: pages, Attr: *bpfOutput(1)},
		func(cpu int, event RawPerfEvent) PerfEventRet {
			record := PerfRecord{CPU: cpu}
			if event.Type == unix.PERF_RECORD_LOST { // u64 id, lost
				record.LostSamples = number(event.Data[8:])
			} else { // u32 size; char data[]
				record.RawSample = event.Data[4:]
			}
			if err := got.add(record); err != nil {
				t.Error(err)
			}
			if rand.IntN(100) == 0 {
				return PerfEventDone
			}
			return PerfEventCont
		})
	if err != nil {
		t.Fatal(err)
	}
	return p, map[string]func() error{
		"raw Poll":    func() error { return orNothing(p.Poll(time.Duration(rand.IntN(1000)) * time.Microsecond)) },
		"raw Consume": func() error { return orNothing(p.Consume()) },
		"raw ConsumeBuffer": func() error {
			sum := 0
			for i := range p.BufferCount() {
				n, err := p.ConsumeBuffer(i)
				if err != nil {
					return err
				}
				sum += n
			}
			return orNothing(sum, nil)
		},
	}
}

// newPerfChannel makes a perf buffer that sends to channels, and receives from them until the end that it returns.
func newPerfChannel(t *testing.T, pages int, got *perfTally) (pb *PerfBuffer, end *sync.WaitGroup) {
	t.Helper()
	events, lost := make(chan []byte, rand.IntN(2)*500), make(chan uint64)
	pb, err := got.s.m.InitPerfBuf("perf_events", events, lost, pages)
	if err != nil {
		t.Fatal(err)
	}
	got.told = new(atomic.Uint64)
	end = new(sync.WaitGroup)
	end.Add(2)
	go func() {
		defer end.Done()
		for event := range events {
			if err := got.keepOrdered(event); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		defer end.Done()
		for n := range lost {
			got.told.Add(n)
		}
	}()
	return pb, end
}

// Every form of reading returns each CPU's events in their order, and the exact number of lost ones.
func TestPerfLostIsExact(t *testing.T) {
	const many = 1000 // most of them don't fit into a page
	s := newPerfStream(t)
	test := func(name string, reader func(t *testing.T, got *perfTally) (read func() error)) {
		t.Run(name, func(t *testing.T) {
			got := s.tally(true)
			read := reader(t, got)
			for _, n := range []uint64{many, 1} { // with the next event, the kernel reports how many are lost
				s.sendEach(t, n)
				var err error
				for err == nil {
					err = read()
				}
				wantErr(t, err, os.ErrDeadlineExceeded)
			}
			got.check(t)
			if !got.whole() || got.lost == 0 {
				t.Errorf("%d have come or are lost, %d are lost", got.next, got.lost)
			}
		})
	}
	for name := range perfForms(nil, nil) {
		test(name, func(t *testing.T, got *perfTally) func() error {
			r := newPerf(t, s.m, PerfReaderOptions{Pages: 1})
			r.SetDeadline(past)
			return perfForms(r, got)[name]
		})
	}
	for _, name := range []string{"raw Poll", "raw Consume", "raw ConsumeBuffer"} {
		test(name, func(t *testing.T, got *perfTally) func() error {
			p, forms := newPerfRaw(t, 1, got)
			t.Cleanup(func() { p.Close() })
			return forms[name]
		})
	}
	t.Run("channel", func(t *testing.T) {
		got := s.tally(true)
		pb, end := newPerfChannel(t, 1, got)
		s.sendEach(t, many)
		pb.Poll(-1)
		got.complete(t)
		pb.Close()
		end.Wait()
		got.check(t)
		if !got.whole() || got.lost == 0 {
			t.Errorf("%d have come or are lost, %d are lost, %d were said to be", got.next, got.lost, got.told.Load())
		}
	})
}

// Perf buffers are closed, deadlines are set and events are kept at random: each CPU's events come once and in their
// order, except for those that are reported as lost, and don't change.
func TestPerfReadersAtRandom(t *testing.T) {
	s := newPerfStream(t)
	closed, lost := 0, uint64(0)
	for end := time.Now().Add(randomTime(t)); time.Now().Before(end) && !t.Failed(); closed++ {
		goroutines := 1 + rand.IntN(3)
		if closed%4 == 3 {
			goroutines = 1 // the channel's receiver
		}
		got := s.tally(goroutines == 1)
		pages := 1 << rand.IntN(5)
		stop := s.start(t)
		// Some buffers are closed while events come, the others when all have come.
		whole := rand.IntN(2) == 0
		last := func() {
			if whole {
				stop()
				got.complete(t)
			}
		}
		switch closed % 4 {
		case 3:
			pb, end := newPerfChannel(t, pages, got)
			pb.Poll(10)
			pause(20_000)
			last()
			if rand.IntN(2) == 0 {
				pb.Stop()
			}
			pb.Close()
			end.Wait()
			if err := pb.Err(); err != nil {
				t.Error(err)
			}
		case 2:
			p, forms := newPerfRaw(t, pages, got)
			readAtRandom(t, p, goroutines, slices.Collect(maps.Values(forms)), last)
		default:
			r, err := NewPerfReader(getMap(t, s.m, "perf_events"), PerfReaderOptions{Pages: pages, WakeupEvents: 1 + rand.IntN(3)})
			if err != nil {
				t.Fatal(err)
			}
			r.SetPollInterval(time.Millisecond)
			forms := perfForms(r, got)
			if goroutines > 1 {
				delete(forms, "ReadBatch")
			}
			readAtRandom(t, r, goroutines, slices.Collect(maps.Values(forms)), last)
		}
		stop()
		got.check(t)
		lost += got.lost
	}
	t.Logf("%d buffers were closed, %d events were sent, %d are lost", closed, s.sent[0].Load()+s.sent[1].Load(), lost)
}

func TestPerfReaderWakesAfterSeveral(t *testing.T) {
	onOneCPU(t)
	m := loadEvents(t)
	r := newPerf(t, m, PerfReaderOptions{WakeupEvents: 3})
	attach(t, m, "perf_send_many")
	trigger(2)
	for range 2 { // which the first look finds
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
	woken := make(chan error)
	go func() {
		record, err := r.Read()
		if err == nil && number(record.RawSample) != 2 {
			err = errors.New("not the third event")
		}
		woken <- err
	}()
	select {
	case err := <-woken:
		t.Fatalf("a wake-up without events: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	trigger(1)
	if err := <-woken; err != nil {
		t.Error(err)
	}
	trigger(1)
	r.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if record, err := r.Read(); err != nil || number(record.RawSample) != 3 {
		t.Errorf("before the deadline: %v, %+v", err, record)
	}
	_, err := r.Read()
	wantErr(t, err, os.ErrDeadlineExceeded, "perf_events")
	r.SetDeadline(time.Time{})
	r.SetPollInterval(time.Millisecond)
	trigger(1)
	if record, err := r.Read(); err != nil || number(record.RawSample) != 4 {
		t.Errorf("at an interval: %v, %+v", err, record)
	}
}

func TestPerfBufferRaw(t *testing.T) {
	cpu := onOneCPU(t)
	m := loadEvents(t)
	answer := PerfEventCont
	var got []uint64
	attr := *bpfOutput(1)
	attr.Size = 0
	attr.Sample_type |= unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_TID
	p, err := NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{
		Pages: 4, Attr: attr, CPUs: []int{cpu}, MapKeys: []int{cpu},
	}, func(c int, event RawPerfEvent) PerfEventRet {
		// u32 pid, tid; u64 time; u32 size; char data[]
		if c != cpu || event.Type != unix.PERF_RECORD_SAMPLE || len(event.Data) != 4+4+8+4+12 {
			t.Errorf("CPU %d, %+v", c, event)
		} else if pid := binary.NativeEndian.Uint32(event.Data); pid != uint32(os.Getpid()) {
			t.Errorf("process %d", pid)
		} else {
			got = append(got, number(event.Data[20:]))
		}
		return answer
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	attach(t, m, "perf_send_many")
	if n, err := p.Poll(time.Millisecond); n != 0 || err != nil {
		t.Error(n, err)
	}
	trigger(3)
	if n, err := p.Poll(-1); n != 3 || err != nil {
		t.Error(n, err)
	}
	trigger(3)
	answer = PerfEventDone
	if n, err := p.Consume(); n != 1 || err != nil {
		t.Error(n, err)
	}
	answer = PerfEventError
	n, err := p.ConsumeBuffer(0)
	wantErr(t, err, ErrPerfEvent, "perf_events")
	if n != 1 {
		t.Error(n)
	}
	answer = PerfEventCont
	if n, err := p.Poll(time.Minute); n != 1 || err != nil {
		t.Error(n, err)
	}
	for i, number := range got {
		if number != uint64(i) {
			t.Errorf("event %d is number %d", i, number)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d events came", len(got))
	}
	memory, err := p.Buffer(0)
	if err != nil || len(memory) != 5*os.Getpagesize() {
		t.Fatal(len(memory), err)
	}
	page := (*unix.PerfEventMmapPage)(unsafe.Pointer(&memory[0]))
	if page.Data_head == 0 || page.Data_head != page.Data_tail || page.Data_size != uint64(4*os.Getpagesize()) {
		t.Errorf("head %d, tail %d, size %d", page.Data_head, page.Data_tail, page.Data_size)
	}
	if fd, err := p.BufferFD(0); err != nil || fd < 0 {
		t.Error(fd, err)
	}
	go func() {
		time.Sleep(10 * time.Millisecond)
		p.Close()
	}()
	_, err = p.Poll(-1)
	wantErr(t, err, os.ErrClosed, "perf_events")
}

func TestTwoThousandPerfBuffers(t *testing.T) {
	m := loadEvents(t)
	threads := threadCount(t)
	var buffers []*PerfBuffer
	for range min(2000, 50_000/runtime.NumCPU()) { // a process has 65530 mappings, and each has one for a CPU
		pb, err := m.InitPerfBuf("perf_events", make(chan []byte), nil, 1)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.EPERM) {
			t.Skipf("%d buffers opened, more descriptors or locked memory than the limit allows are needed: %v", len(buffers), err)
		}
		if err != nil {
			t.Fatal(err)
		}
		pb.Poll(-1)
		buffers = append(buffers, pb)
	}
	if n := threadCount(t); n > threads+16 {
		t.Errorf("%d threads wait, %d before", n, threads)
	}
}

// Reading, deadlines, flushes and closing, from everywhere.
func TestPerfReaderWhileClosing(t *testing.T) {
	leaksNothing(t, func() {
		m := loadEvents(t)
		defer m.Close()
		attach(t, m, "perf_send_many")
		for range 20 {
			r := newPerf(t, m, PerfReaderOptions{Pages: 1})
			useReader(t, r.SetDeadline, r.Flush, r.Close, []func() error{
				func() error { _, err := r.Read(); return err },
				func() error { return r.ReadInto(new(PerfRecord)) },
				func() error { _, err := r.ReadBatch(make([]PerfRecord, 8)); return err },
				func() error {
					for _, err := range r.Records(context.Background()) {
						return err
					}
					return nil
				},
				func() error { _, err := r.Consume(func(PerfRecord) error { return nil }); return err },
			})
		}
	})
}

// useReader runs reads, over and over, until the reader is closed, while its deadline is set and it is
// flushed, and then closes it.
func useReader(t *testing.T, setDeadline func(time.Time), flush func(), close func() error, reads []func() error) {
	t.Helper()
	var all sync.WaitGroup
	for _, read := range reads {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				err := read()
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, ErrFlushed) {
					t.Error(err)
				}
			}
		}()
	}
	for i := range 20 {
		trigger(10)
		setDeadline(time.Now().Add(time.Duration(i) * 100 * time.Microsecond))
		flush()
		trigger(10)
		runtime.Gosched()
	}
	setDeadline(time.Time{})
	if err := errors.Join(close(), close()); err != nil {
		t.Error(err)
	}
	all.Wait()
}

// Only one kind of the kernel's messages about devices announces that a CPU has come online.
func TestOnlineCPU(t *testing.T) {
	for message, want := range map[string]int{
		"online@/devices/system/cpu/cpu1\x00ACTION=online\x00SUBSYSTEM=cpu\x00": 1,
		"online@/devices/system/cpu/cpu128\x00":                                 128,
		"offline@/devices/system/cpu/cpu1\x00ACTION=offline\x00":                -1,
		"online@/devices/system/memory/memory1\x00":                             -1,
		"online@/devices/system/cpu/cpufreq\x00":                                -1,
		"online@/devices/system/cpu/cpu\x00":                                    -1,
		"libudev\x00\xfe\xed\xca\xfe":                                           -1,
		"":                                                                      -1,
	} {
		cpu, ok := onlineCPU(message)
		if ok != (want >= 0) || ok && cpu != want {
			t.Errorf("%q: CPU %d, %v, want %d", message, cpu, ok, want)
		}
	}
}

// A CPU's event that is opened again, though it isn't needed, changes nothing but itself, and nothing is
// left open.
func TestReopenedEventWritesToTheSameMemory(t *testing.T) {
	leaksNothing(t, func() {
		cpu := onOneCPU(t)
		m := loadEvents(t)
		defer m.Close()
		r := newPerf(t, m, PerfReaderOptions{})
		attach(t, m, "perf_send_many")
		memory, err := r.Buffer(cpu)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			trigger(1)
			hotplug.online(cpu)
			trigger(1)
			for n := range 2 {
				record, err := r.Read()
				if err != nil || record.CPU != cpu || number(record.RawSample) != uint64(2*i+n) {
					t.Fatalf("%+v, %v, want number %d", record, err, 2*i+n)
				}
			}
		}
		// A wait is for the first event's descriptor.
		done := make(chan error, 1)
		go func() {
			_, err := r.Read()
			done <- err
		}()
		time.Sleep(20 * time.Millisecond)
		trigger(1)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the wait doesn't end")
		}
		if again, err := r.Buffer(cpu); err != nil || &again[0] != &memory[0] {
			t.Errorf("the buffer moved, %v", err)
		}
	})
}

// Nothing is left of what a record was before it is read into.
func TestPerfReadIntoSetsAll(t *testing.T) {
	cpu := onOneCPU(t)
	m := loadEvents(t)
	r := newPerf(t, m, PerfReaderOptions{})
	attach(t, m, "perf_send_many")
	trigger(2)
	for i := range 2 {
		record := PerfRecord{CPU: -1, LostSamples: 99, Remaining: -1, RawSample: make([]byte, 100)}
		if err := r.ReadInto(&record); err != nil {
			t.Fatal(err)
		}
		if record.CPU != cpu || record.LostSamples != 0 || number(record.RawSample) != uint64(i) || len(record.RawSample) != 12 || (record.Remaining == 0) != (i == 1) {
			t.Errorf("record %d: %+v, want CPU %d", i, record, cpu)
		}
	}
}
