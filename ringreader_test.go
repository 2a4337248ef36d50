package libbpfgo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newRing(t testing.TB, m *Module, names ...string) *RingBufReader {
	t.Helper()
	var maps []*BPFMap
	for _, name := range names {
		maps = append(maps, getMap(t, m, name))
	}
	r, err := NewRingBufReader(maps...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRingBufReader(t *testing.T) {
	m := loadMain(t)
	r := newRing(t, m, "events")
	attach(t, m, "send_many")
	const each = 1200 // more than two batches
	next, end := uint64(0), uint64(0)
	check := func(record Record) {
		t.Helper()
		if len(record.RawSample) != 8 || cap(record.RawSample) < 8 || number(record.RawSample) != next || record.Map.Name() != "events" {
			t.Fatalf("got %+v, want number %d", record, next)
		}
		next++
	}
	var kept []Record
	var into Record
	batch := make([]Record, 100)
	reads := map[string]func(){
		"Read": func() {
			record, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			check(record)
			kept = append(kept, record)
		},
		"ReadSample": func() {
			sample, n, err := r.ReadSample(nil)
			if err != nil {
				t.Fatal(err)
			}
			check(Record{sample, r.maps[0]})
			if want := int(end-next) * 16; n != want {
				t.Fatalf("%d bytes remain, want %d", n, want)
			}
		},
		"ReadInto": func() {
			if err := r.ReadInto(&into); err != nil {
				t.Fatal(err)
			}
			check(into)
		},
		"ReadBatch": func() {
			n, err := r.ReadBatch(batch[:min(uint64(len(batch)), end-next)])
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
		"ConsumeN": func() {
			n, err := r.ConsumeN(5, func(record Record) error {
				check(record)
				return nil
			})
			if err != nil || n == 0 || n > 5 {
				t.Fatal(n, err)
			}
		},
	}
	for name, read := range reads {
		end = next + each
		trigger(each)
		for next < end {
			read()
		}
		t.Logf("%s has read %d", name, each)
	}
	// One after the other, whatever the last one has left.
	end = next + each
	trigger(each)
	for next < end {
		for _, read := range reads {
			if next < end {
				read()
			}
		}
	}
	for i, record := range kept {
		if i > 0 && number(record.RawSample) <= number(kept[i-1].RawSample) {
			t.Errorf("record %d that was kept is %x now, after %x", i, record.RawSample, kept[i-1].RawSample)
		}
	}
	if n, err := r.ReadBatch(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	wantErr(t, r.ReadInto(nil), syscall.EINVAL, "nil record")
}

func TestRingBufReaderAllocations(t *testing.T) {
	m := loadMain(t)
	r := newRing(t, m, "events")
	attach(t, m, "send_many")
	var into Record
	batch := make([]Record, 512)
	for name, test := range map[string]struct {
		read  func() int
		limit float64 // allocations for each record
	}{
		"Read":      {func() int { _, _ = r.Read(); return 1 }, 1.0 / 16},
		"ReadInto":  {func() int { _ = r.ReadInto(&into); return 1 }, 0},
		"ReadBatch": {func() int { n, _ := r.ReadBatch(batch); return n }, 0},
	} {
		const records = 2000
		round := func() {
			trigger(records)
			for n := 0; n < records; {
				n += test.read()
			}
		}
		round() // the first look makes memory
		if n := testing.AllocsPerRun(5, round) / records; n > test.limit+0.001 {
			t.Errorf("%s allocates %v times for each record", name, n)
		}
	}
}

func TestRingBufReaderEndsWaits(t *testing.T) {
	m := loadMain(t)
	r := newRing(t, m, "events")
	attach(t, m, "send_many")
	read := func() <-chan error {
		result := make(chan error, 1)
		go func() {
			_, err := r.Read()
			result <- err
		}()
		time.Sleep(10 * time.Millisecond)
		return result
	}
	// Without a deadline, a read that isn't ended waits for ever.
	ended := func(waiting <-chan error) error {
		t.Helper()
		select {
		case err := <-waiting:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("the wait doesn't end")
			return nil
		}
	}
	waiting := read()
	r.SetDeadline(time.Now())
	wantErr(t, ended(waiting), os.ErrDeadlineExceeded, "events")
	_, err := r.Read()
	wantErr(t, err, os.ErrDeadlineExceeded)
	trigger(2)
	for range 2 { // a deadline that has passed doesn't hide records
		if _, err := r.Read(); err != nil {
			t.Error(err)
		}
	}
	r.SetDeadline(time.Now().Add(30 * time.Millisecond))
	begin := time.Now()
	_, err = r.Read()
	wantErr(t, err, os.ErrDeadlineExceeded)
	if waited := time.Since(begin); waited < 30*time.Millisecond {
		t.Errorf("waited %v", waited)
	}
	r.SetDeadline(time.Time{})

	waiting = read()
	r.Flush()
	wantErr(t, ended(waiting), ErrFlushed, "events")
	trigger(3)
	r.Flush()
	for range 3 {
		if _, err := r.Read(); err != nil {
			t.Error(err)
		}
	}
	_, err = r.Read()
	wantErr(t, err, ErrFlushed)

	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		for _, err := range r.Records(ctx) {
			result <- err
		}
	}()
	time.Sleep(10 * time.Millisecond)
	cancel()
	wantErr(t, ended(result), context.Canceled, "events")
	trigger(1)
	for _, err := range r.Records(ctx) {
		wantErr(t, err, context.Canceled)
	}
	if _, err := r.Read(); err != nil {
		t.Error(err)
	}

	waiting = read()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	wantErr(t, ended(waiting), os.ErrClosed, "events")
	_, err = r.Read()
	wantErr(t, err, os.ErrClosed, "events")
	for _, err := range r.Records(context.Background()) {
		wantErr(t, err, os.ErrClosed, "events")
	}
	if fd := r.EpollFD(); fd != -1 {
		t.Errorf("the descriptor is %d", fd)
	}
}

// readable reports whether poll says that a descriptor is readable.
func readable(t *testing.T, fd int) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestReadersEpollFD(t *testing.T) {
	onOneCPU(t)
	m := loadMain(t)
	ring := newRing(t, m, "events")
	attach(t, m, "send_many")
	if readable(t, ring.EpollFD()) {
		t.Error("there is no record, and the descriptor is readable")
	}
	trigger(1)
	if !readable(t, ring.EpollFD()) {
		t.Error("there is a record, and the descriptor isn't readable")
	}
	if _, err := ring.Read(); err != nil {
		t.Fatal(err)
	}
	if readable(t, ring.EpollFD()) {
		t.Error("the record was read, and the descriptor is readable")
	}

	m = loadEvents(t)
	perf := newPerf(t, m, PerfReaderOptions{})
	attach(t, m, "perf_send_many")
	if readable(t, perf.EpollFD()) {
		t.Error("there is no event, and the descriptor is readable")
	}
	trigger(1)
	if !readable(t, perf.EpollFD()) {
		t.Error("there is an event, and the descriptor isn't readable")
	}
}

// What a reader has taken and not handed out is for the next one, whichever form that has.
func TestUnreadRecordsSurviveClose(t *testing.T) {
	m := loadMain(t)
	attach(t, m, "send_many")
	const records = 3000
	trigger(records)
	next := 0
	check := func(record []byte) {
		t.Helper()
		if number(record) != uint64(next) {
			t.Fatalf("got %d, want %d", number(record), next)
		}
		next++
	}
	batch := make([]Record, 3)
	for i := 0; next < records; i++ {
		switch i % 4 {
		case 0:
			r := newRing(t, m, "events")
			record, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			check(record.RawSample)
			r.Close()
		case 1:
			r := newRing(t, m, "events")
			n, err := r.ReadBatch(batch)
			if err != nil {
				t.Fatal(err)
			}
			for _, record := range batch[:n] {
				check(record.RawSample)
			}
			r.Close()
		case 2:
			r := newRing(t, m, "events")
			for record, err := range r.Records(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				check(record.RawSample)
				r.Close() // under way
				if next%5 == 0 || next == records {
					break
				}
			}
		case 3:
			events := make(chan []byte)
			rb, err := m.InitRingBuf("events", events)
			if err != nil {
				t.Fatal(err)
			}
			rb.Poll(300)
			for range min(50, records-next) {
				check(receive(t, events))
			}
			rb.Stop()
			rb.Close()
		}
	}
}

func TestRingBufReaderOfSeveralMaps(t *testing.T) {
	m := loadMain(t)
	r := newRing(t, m, "events", "more_events")
	attach(t, m, "send_both")
	if size := r.BufferSize(); size != 256*1024+4096 {
		t.Errorf("the rings have %d bytes", size)
	}
	counts := make(map[string]int)
	for range 100 {
		trigger(1)
		for range 2 {
			record, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			counts[record.Map.Name()]++
		}
	}
	if counts["events"] != 100 || counts["more_events"] != 100 {
		t.Errorf("%v", counts)
	}

	trigger(1)
	rings := r.Rings()
	n, err := rings[1].Consume(func(record Record) error {
		if record.Map.Name() != "more_events" {
			t.Errorf("a record of %q", record.Map.Name())
		}
		return nil
	})
	if n != 1 || err != nil {
		t.Error(n, err)
	}
	trigger(1)
	if n, err := rings[0].ConsumeN(1, func(Record) error { return nil }); n != 1 || err != nil {
		t.Error(n, err)
	}
	stop := errors.New("stop")
	if n, err := r.Consume(func(Record) error { return stop }); n != 1 || err != stop {
		t.Error(n, err)
	}
	if rings[1].MapFD() != getMap(t, m, "more_events").FileDescriptor() {
		t.Error("the wrong descriptor")
	}

	_, err = NewRingBufReader()
	wantErr(t, err, syscall.EINVAL, "no map")
	_, err = NewRingBufReader(getMap(t, m, "events"), nil)
	wantErr(t, err, syscall.EINVAL, "nil map")
	_, err = NewRingBufReader(getMap(t, m, "events"), getMap(t, m, "events"))
	wantErr(t, err, syscall.EINVAL, "twice", "events")
	_, err = NewRingBufReader(getMap(t, m, "numbers"))
	wantErr(t, err, syscall.EINVAL, "numbers")
	_, err = NewRingBufReader(getMap(t, openMain(t), "events"))
	wantErr(t, err, syscall.ENOENT, "events", "load the object first")
}

// A ring that is never empty keeps no other one waiting.
func TestRingBufReaderIsFair(t *testing.T) {
	m := loadMain(t)
	attach(t, m, "send_many")
	attach(t, m, "send_both")
	r := newRing(t, m, "events", "more_events")
	trigger(10000) // and one to each ring, after these
	last := 0
	for i := range 10002 {
		record, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if record.Map.Name() == "more_events" {
			last = i
		}
	}
	if last == 0 || last > 2*maxRecords {
		t.Errorf("the other ring's record was number %d of 10002", last)
	}
}

func TestRingPositions(t *testing.T) {
	m := loadMain(t)
	r := newRing(t, m, "events")
	ring := r.Rings()[0]
	if needLibbpf(1, 3, "") != nil {
		_, err := ring.Size()
		wantErr(t, err, errors.ErrUnsupported, "libbpf 1.3")
		return
	}
	attach(t, m, "send_many")
	trigger(10)
	want := func(consumer, producer, available uint64) {
		t.Helper()
		var got []uint64
		for _, f := range []func() (uint64, error){ring.ConsumerPos, ring.ProducerPos, ring.AvailDataSize, ring.Size} {
			n, err := f()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if !slices.Equal(got, []uint64{consumer, producer, producer - consumer, 256 * 1024}) {
			t.Errorf("positions, available, size: %d", got)
		}
		if n, err := r.AvailableBytes(); err != nil || n != int(available) {
			t.Errorf("%d bytes available, want %d, %v", n, available, err)
		}
	}
	want(0, 160, 160)
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	want(160, 160, 144)
	trigger(1)
	want(160, 176, 160)
	r.Close()
	_, err := ring.ConsumerPos()
	wantErr(t, err, os.ErrClosed, "events")
	_, err = r.AvailableBytes()
	wantErr(t, err, os.ErrClosed, "events")
}

// A record that is reserved and not committed yet hides no deadline, and looking for it costs nothing.
func TestRingBufReaderWaitsForBusyRecord(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("reading while a program runs takes two CPUs")
	}
	s := newStream(t)
	r := newRing(t, s.m, "stream")
	program, ring := getProgram(t, s.m, "send_held"), getMap(t, s.m, "stream")
	looks := 0
	look := r.reader.look
	r.reader.look = func(fd uintptr) bool { looks++; return look(fd) }
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		sent := make(chan error)
		go func() {
			n, err := runWith(program, uint64(50*time.Millisecond))
			if err == nil && n != 1 {
				err = fmt.Errorf("%d records were sent", n)
			}
			sent <- err
		}()
		for reserved(t, ring) == 0 {
		}
		looks = 0
		r.SetDeadline(time.Now().Add(time.Millisecond))
		_, err := r.Read()
		looked := looks
		r.SetDeadline(time.Time{})
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if err == nil {
			continue // it was over before the deadline
		}
		wantErr(t, err, os.ErrDeadlineExceeded)
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
		if looked == 0 {
			continue // the deadline was over before the first look
		}
		if looked > 5 {
			t.Errorf("%d looks at a record that is busy", looked)
		}
		return
	}
	t.Error("no record was busy until the deadline")
}

// reserved returns 1 if the ring has an unread record, even if that is only reserved.
func reserved(t *testing.T, ring *BPFMap) int {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(ring.FileDescriptor()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	if err != nil && err != unix.EINTR {
		t.Fatal(err)
	}
	return n
}

func TestRingBufReaderFindsUnannounced(t *testing.T) {
	m := loadMain(t, "no_wakeup", true)
	r := newRing(t, m, "events")
	attach(t, m, "send_many")
	r.SetDeadline(time.Now().Add(time.Millisecond))
	_, err := r.Read()
	wantErr(t, err, os.ErrDeadlineExceeded)
	read := func() <-chan error {
		result := make(chan error, 1)
		go func() {
			_, err := r.Read()
			result <- err
		}()
		time.Sleep(10 * time.Millisecond)
		trigger(1)
		return result
	}
	// A deadline and a flush look once more.
	r.SetDeadline(time.Time{})
	waiting := read()
	r.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	r.SetDeadline(time.Time{})
	waiting = read()
	r.Flush()
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	_, err = r.Read()
	wantErr(t, err, ErrFlushed)
	r.SetPollInterval(5 * time.Millisecond)
	if err := <-read(); err != nil {
		t.Error(err)
	}
}

func TestRingBufReaderWhileClosing(t *testing.T) {
	leaksNothing(t, func() {
		m := loadMain(t)
		defer m.Close()
		attach(t, m, "send_many")
		for range 20 {
			r := newRing(t, m, "events", "more_events")
			useReader(t, r.SetDeadline, r.Flush, r.Close, []func() error{
				func() error { _, err := r.Read(); return err },
				func() error { return r.ReadInto(new(Record)) },
				func() error { _, err := r.ReadBatch(make([]Record, 8)); return err },
				func() error {
					for _, err := range r.Records(context.Background()) {
						return err
					}
					return nil
				},
				func() error { _, err := r.Rings()[0].Consume(func(Record) error { return nil }); return err },
			})
		}
		// The module's end is the readers'.
		r := newRing(t, m, "events")
		useReader(t, r.SetDeadline, r.Flush, func() error { m.Close(); return nil }, []func() error{
			func() error { _, err := r.Read(); return err },
		})
	})
}

// A waiting call blocks neither calls that don't wait nor calls that end the reading.
func TestWaitingReaderHoldsUpNobody(t *testing.T) {
	m := loadMain(t)
	attach(t, m, "send_many")
	r := newRing(t, m, "events")
	ended := make(chan error)
	go func() {
		_, err := r.Read()
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for _, err := range r.Records(ctx) {
		wantErr(t, err, context.DeadlineExceeded)
	}
	if n, err := r.Consume(func(Record) error { return nil }); n != 0 || err != nil {
		t.Error(n, err)
	}
	trigger(1)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// What a loop leaves reaches the one that waits.
	trigger(2)
	for range r.Records(context.Background()) {
		go func() {
			_, err := r.Read()
			ended <- err
		}()
		time.Sleep(20 * time.Millisecond)
		break
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestConsumePanics(t *testing.T) {
	m := loadMain(t)
	attach(t, m, "send_many")
	r := newRing(t, m, "events")
	trigger(10)
	func() {
		defer func() { _ = recover() }()
		_, _ = r.Consume(func(Record) error { panic("a test") })
	}()
	if n, err := r.Consume(func(Record) error { return nil }); n != 9 || err != nil {
		t.Errorf("%d records after the one that panicked, %v", n, err)
	}
}

// Records that a reader had no room for count as well.
func TestRemainingOfLargeRecords(t *testing.T) {
	m := loadMain(t)
	attach(t, m, "send_sized")
	r := newRing(t, m, "events")
	for _, size := range []int{100, 4000, 100, 100} {
		trigger(size)
	}
	var sample []byte
	for i, want := range []int{4008 + 2*112, 2 * 112, 112, 0} {
		_, remaining, err := r.ReadSample(&sample)
		if err != nil || remaining != want {
			t.Errorf("%d bytes remain behind record %d, want %d, %v", remaining, i, want, err)
		}
		if available, err := r.AvailableBytes(); err != nil || available != want {
			t.Errorf("%d bytes are available behind record %d, want %d, %v", available, i, want, err)
		}
	}
}

// A batch stays what it is when its reader is closed and another one reads the rest.
func TestBatchOutlivesItsReader(t *testing.T) {
	m := loadMain(t)
	attach(t, m, "send_many")
	r := newRing(t, m, "events")
	trigger(100)
	batch := make([]Record, 10)
	if n, err := r.ReadBatch(batch); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	r.Close()
	next := newRing(t, m, "events")
	trigger(100)
	want := uint64(10)
	for record, err := range next.Records(context.Background()) {
		if err != nil || number(record.RawSample) != want {
			t.Fatalf("got %x, want number %d, %v", record.RawSample, want, err)
		}
		if want++; want == 200 {
			break
		}
	}
	for i, record := range batch {
		if number(record.RawSample) != uint64(i) {
			t.Errorf("record %d became %x", i, record.RawSample)
		}
	}
}

// What a loop hasn't seen when its reader is closed reaches the next reader, in order, whether that is made
// before or after the loop's end.
func TestRecordsAreLeftInOrder(t *testing.T) {
	for name, early := range map[string]bool{"next reader before the end": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			m := loadMain(t)
			attach(t, m, "send_sized")
			sizes := []int{16, 24, 32, 4000, 5}
			r := newRing(t, m, "events")
			for _, size := range sizes {
				trigger(size)
			}
			var next *RingBufReader
			for range r.Records(context.Background()) {
				r.Close()
				if early {
					next = newRing(t, m, "events")
				}
				break
			}
			if !early {
				next = newRing(t, m, "events")
			}
			var got []int
			if _, err := next.Consume(func(record Record) error {
				got = append(got, len(record.RawSample))
				return nil
			}); err != nil || !slices.Equal(got, sizes[1:]) {
				t.Errorf("records of %d bytes are left, want %d, %v", got, sizes[1:], err)
			}
		})
	}
}

// The kernel announces a record only to a reader whose position it sees at the record. A processor may read the
// producer's position before others see the reader's, so a record that comes just then is neither seen nor announced: the
// reader looks once more before it waits. Here, a breakpoint sends such a record where the reader has read the position.
func TestReaderLooksAgain(t *testing.T) {
	s := newStream(t)
	ring := getMap(t, s.m, "stream")
	r, err := NewRingBufReader(ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	runtime.LockOSThread() // whose breakpoint it is
	defer runtime.UnlockOSThread()
	const size, onReading = 8, 3 // HW_BREAKPOINT_RW
	for _, position := range producerPositions(t) {
		fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
			Type: unix.PERF_TYPE_BREAKPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: 1, Bp_type: onReading,
			Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv, Ext1: uint64(position), Ext2: size,
		}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENODEV) {
			t.Skipf("the processor has no breakpoints: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := getProgram(t, s.m, "inject").AttachPerfEvent(fd); err != nil {
			t.Fatal(err)
		}
	}
	// What is discarded moves the position, and is nothing to return with.
	if n, err := runWith(getProgram(t, s.m, "send_nothing")); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	const patience = 10 * time.Second
	begin := time.Now()
	r.SetDeadline(begin.Add(patience))
	if _, err := r.Read(); err != nil || time.Since(begin) >= patience {
		t.Errorf("%v after %v: the record was found at the deadline only", err, time.Since(begin))
	}
}

// producerPositions returns where this process has mapped the producer's position of the only ring buffer that it reads.
// With libbpf before 1.3, which doesn't hand out its own mapping, there are two.
func producerPositions(t *testing.T) (addresses []uintptr) {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, "/proc/self/maps"))) {
		if strings.Contains(line, " r--s ") && strings.Contains(line, "anon_inode:bpf-map") {
			var address uintptr
			if _, err := fmt.Sscanf(line, "%x-", &address); err != nil {
				t.Fatal(err)
			}
			addresses = append(addresses, address)
		}
	}
	if len(addresses) == 0 {
		t.Fatal("there is no ring buffer")
	}
	return addresses
}

// What was taken out of one ring doesn't come as another ring's, and a record that is read into says which map it is from.
func TestRecordsOfTheirRing(t *testing.T) {
	s := newStream(t)
	maps := []*BPFMap{getMap(t, s.m, "stream"), getMap(t, s.m, "small")}
	sizes := map[*BPFMap]int{maps[0]: 24, maps[1]: 8}
	r, err := NewRingBufReader(maps...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.SetDeadline(time.Now().Add(20 * time.Second))
	sendOne := getProgram(t, s.m, "send_one")
	for range 2 { // beginning with another ring
		if n, err := runWith(s.send, 3, 0); err != nil || n != 3 {
			t.Fatal(n, err)
		}
		for range 3 {
			if n, err := runWith(sendOne, 0, 0); err != nil || n != 0 {
				t.Fatal(n, err)
			}
		}
		first, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, ring := range []*Ring{r.Rings()[btoi(first.Map == maps[0])], r.Rings()[btoi(first.Map != maps[0])]} {
			n, err := ring.Consume(func(record Record) error {
				if record.Map != ring.Map() || len(record.RawSample) != sizes[ring.Map()] {
					t.Errorf("%d bytes of map %q come from the ring of map %q", len(record.RawSample), record.Map.Name(), ring.Map().Name())
				}
				return nil
			})
			if want := 2 + btoi(ring.Map() != first.Map); err != nil || n != want {
				t.Errorf("%d records of map %q, want %d: %v", n, ring.Map().Name(), want, err)
			}
		}
	}
	if n, err := runWith(s.send, 3, 0); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if n, err := runWith(sendOne, 0, 0); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	var record Record
	for range 4 {
		if err := r.ReadInto(&record); err != nil || len(record.RawSample) != sizes[record.Map] {
			t.Errorf("%v, %d bytes of map %q", err, len(record.RawSample), record.Map.Name())
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
