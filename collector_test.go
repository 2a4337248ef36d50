package libbpfgo

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
	"weak"

	"golang.org/x/sys/unix"
)

// collecting runs the garbage collector, and sends when the cleanups that it has started have run, over and
// over until the returned function is called.
func collecting(send func()) (stop func()) {
	var end sync.WaitGroup
	stopped := make(chan struct{})
	end.Add(1)
	go func() {
		defer end.Done()
		for {
			for range 3 {
				runtime.GC()
				time.Sleep(time.Millisecond)
			}
			send()
			select {
			case <-stopped:
				return
			default:
			}
		}
	}()
	return func() {
		close(stopped)
		end.Wait()
	}
}

// A call keeps its handle alive until it returns, and the handle its module: the garbage collector closes neither
// while a call waits or runs the caller's function. Nothing else keeps the module alive here: the program is attached
// by a pin.
func TestCallsHoldTheirModule(t *testing.T) {
	needTracefs(t)
	dir := bpffs(t)
	const many = 500 // more than one look at a buffer finds
	const perfObject = "testdata/events.bpf.o"
	pause := func() {
		for range 3 {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}
	// Functions that get the records pause at the first ones.
	pauses := 0
	pauseFirst := func() {
		if pauses++; pauses <= 3 {
			pause()
		}
	}
	perfReader := func(t *testing.T, m *Module) *PerfReader {
		r, err := NewPerfReader(getMap(t, m, "perf_events"), PerfReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	raw := func(t *testing.T, m *Module) *PerfBufferRaw {
		r, err := NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{Pages: 8, Attr: *bpfOutput(1)},
			func(int, RawPerfEvent) PerfEventRet { pauseFirst(); return PerfEventCont })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ring := func(t *testing.T, m *Module) *RingBufReader {
		r, err := NewRingBufReader(getMap(t, m, "events"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	perfFunction := func(PerfRecord) error { pauseFirst(); return nil }
	ringFunction := func(Record) error { pauseFirst(); return nil }
	some := func(n int, err error) error {
		if err == nil && n == 0 {
			err = errors.New("nothing came")
		}
		return err
	}
	whole := func(n int, err error) error {
		if err == nil && n < many {
			err = errors.New(strconv.Itoa(n) + " records came")
		}
		return err
	}

	type test struct {
		name, object, program string
		// sent is how many events there are before the call.
		sent int
		// prepare returns the call. It is the last use of its handle.
		prepare func(*testing.T, *Module) func() error
	}
	ofPerfReader := func(method string, sent int, call func(*PerfReader) error) test {
		return test{"PerfReader." + method, perfObject, "perf_send_many", sent, calling(perfReader, call)}
	}
	ofRaw := func(method string, sent int, call func(*PerfBufferRaw) error) test {
		return test{"PerfBufferRaw." + method, perfObject, "perf_send_many", sent, calling(raw, call)}
	}
	ofRingReader := func(method string, sent int, call func(*RingBufReader) error) test {
		return test{"RingBufReader." + method, mainObject, "send_many", sent, calling(ring, call)}
	}
	ofRing := func(method string, sent int, call func(*Ring) error) test {
		first := func(t *testing.T, m *Module) *Ring { return ring(t, m).Rings()[0] }
		return test{"Ring." + method, mainObject, "send_many", sent, calling(first, call)}
	}

	for _, test := range []test{
		ofPerfReader("Read", 0, func(r *PerfReader) error { _, err := r.Read(); return err }),
		ofPerfReader("ReadInto", 0, func(r *PerfReader) error { return r.ReadInto(new(PerfRecord)) }),
		ofPerfReader("ReadBatch", 0, func(r *PerfReader) error { return some(r.ReadBatch(make([]PerfRecord, 10))) }),
		ofPerfReader("Records", 0, func(r *PerfReader) error { return firstTen(r.Records(context.Background())) }),
		ofPerfReader("Consume", many, func(r *PerfReader) error { return whole(r.Consume(perfFunction)) }),
		ofPerfReader("ConsumeBuffer", many, func(r *PerfReader) error { _, err := r.ConsumeBuffer(0, perfFunction); return err }),
		ofRaw("Poll", 0, func(r *PerfBufferRaw) error { return some(r.Poll(-1)) }),
		ofRaw("Consume", many, func(r *PerfBufferRaw) error { return whole(r.Consume()) }),
		ofRaw("ConsumeBuffer", many, func(r *PerfBufferRaw) error { _, err := r.ConsumeBuffer(0); return err }),
		{"PerfBuffer.Poll", perfObject, "perf_send_many", 0, func(t *testing.T, m *Module) func() error {
			events := make(chan []byte)
			pb, err := m.InitPerfBuf("perf_events", events, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			pb.Poll(300)
			return func() error { return receiveAndStop(events, 10, pb.Stop) }
		}},
		{"RingBuffer.Poll", mainObject, "send_many", 0, func(t *testing.T, m *Module) func() error {
			events := make(chan []byte)
			rb, err := m.InitRingBuf("events", events)
			if err != nil {
				t.Fatal(err)
			}
			rb.Poll(300)
			return func() error { return receiveAndStop(events, 10, rb.Stop) }
		}},
		ofRingReader("Read", 0, func(r *RingBufReader) error { _, err := r.Read(); return err }),
		ofRingReader("ReadSample", 0, func(r *RingBufReader) error { _, _, err := r.ReadSample(nil); return err }),
		ofRingReader("ReadInto", 0, func(r *RingBufReader) error { return r.ReadInto(new(Record)) }),
		ofRingReader("ReadBatch", 0, func(r *RingBufReader) error { return some(r.ReadBatch(make([]Record, 10))) }),
		ofRingReader("Records", 0, func(r *RingBufReader) error { return firstTen(r.Records(context.Background())) }),
		ofRingReader("Consume", many, func(r *RingBufReader) error { return whole(r.Consume(ringFunction)) }),
		ofRingReader("ConsumeN", many, func(r *RingBufReader) error { return whole(r.ConsumeN(many, ringFunction)) }),
		ofRing("Consume", many, func(r *Ring) error { return whole(r.Consume(ringFunction)) }),
		ofRing("ConsumeN", many, func(r *Ring) error { return whole(r.ConsumeN(many, ringFunction)) }),
		// The program drains the ring.
		{"UserRingBuffer.ReserveBlocking", perfObject, "drain", 0, func(t *testing.T, m *Module) func() error {
			rb := fullUserRing(t, m)
			return func() error {
				s, err := rb.ReserveBlocking(1000, -1)
				if err != nil {
					return err
				}
				return s.Discard()
			}
		}},
		{"UserRingBuffer.Start", perfObject, "drain", 0, func(t *testing.T, m *Module) func() error {
			samples := make(chan []byte)
			rb, err := m.InitUserRingBuf("samples", samples)
			if err != nil {
				t.Fatal(err)
			}
			rb.Start()
			return func() error {
				for range 5 {
					pause()
					samples <- sample(1)
				}
				err := rb.Error()
				rb.Stop()
				return err
			}
		}},
		{"Sample.Submit", perfObject, "drain", 0, func(t *testing.T, m *Module) func() error {
			rb, err := NewUserRingBuffer(getMap(t, m, "samples"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := rb.Reserve(8)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { pause(); return s.Submit() }
		}},
		{"BPFMapIterator.Next", mainObject, "send_many", 0, func(t *testing.T, m *Module) func() error {
			numbers := getMap(t, m, "numbers")
			for i := range 10 {
				if err := numbers.UpdateElem(key4(uint32(i)), value8(1), 0); err != nil {
					t.Fatal(err)
				}
			}
			it := numbers.Iterator()
			return func() error {
				n := 0
				for it.Next() {
					pause()
					n++
				}
				return some(n, it.Err())
			}
		}},
		{"BPFObjectIterator.NextMap", mainObject, "send_many", 0, func(t *testing.T, m *Module) func() error {
			it := m.Iterator()
			return func() error {
				n := 0
				for it.NextMap() != nil {
					pause()
					n++
				}
				for it.NextProgram() != nil {
					pause()
					n++
				}
				return some(n/9, nil)
			}
		}},
		{"BPFMap.GetValue", mainObject, "send_many", 0, func(t *testing.T, m *Module) func() error {
			numbers := getMap(t, m, "numbers")
			if err := numbers.UpdateElem(key4(1), value8(1), 0); err != nil {
				t.Fatal(err)
			}
			return func() error {
				pause()
				_, err := numbers.GetValue(unsafe.Pointer(&key4(1)[0]))
				return err
			}
		}},
		{"BPFProg.Run", "testdata/stream.bpf.o", "", 0, func(t *testing.T, m *Module) func() error {
			send := getProgram(t, m, "send_stream")
			return func() error {
				pause()
				_, err := runWith(send, 5000, 0)
				return err
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(test.name, ".", "-"))
			pauses = 0
			call := func() func() error {
				m, err := NewModuleFromFile(test.object)
				if err != nil {
					t.Fatal(err)
				}
				if test.program != "" {
					if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
						t.Fatal(err)
					}
				}
				if err := m.BPFLoadObject(); err != nil {
					t.Fatal(err)
				}
				call := test.prepare(t, m)
				if test.program != "" {
					link := attach(t, m, test.program)
					if err := errors.Join(link.Pin(path), link.Destroy()); err != nil {
						t.Fatal(err)
					}
				}
				trigger(test.sent)
				return call
			}()
			defer os.Remove(path)
			stop := collecting(func() { trigger(1) })
			done := make(chan error, 1)
			go func(call func() error) { done <- call() }(call)
			call = nil
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the call doesn't end")
			}
			stop()
			if !collected(1) {
				t.Error("the module isn't closed after its last use")
			}
		})
	}
}

// calling returns a function that opens a handle, and returns a call that is the handle's last use.
func calling[H any](open func(*testing.T, *Module) H, call func(H) error) func(*testing.T, *Module) func() error {
	return func(t *testing.T, m *Module) func() error {
		handle := open(t, m)
		return func() error { return call(handle) }
	}
}

// firstTen goes through ten records.
func firstTen[R any](records iter.Seq2[R, error]) error {
	n := 0
	for _, err := range records {
		if n++; err != nil || n == 10 {
			return err
		}
	}
	return nil
}

// receiveAndStop receives n events, and then ends what sends them.
func receiveAndStop(events <-chan []byte, n int, stop func()) error {
	defer stop()
	for range n {
		if _, ok := <-events; !ok {
			return errors.New("the channel was closed")
		}
	}
	return nil
}

// fullUserRing returns a user ring buffer that has no room for 1000 bytes.
func fullUserRing(t *testing.T, m *Module) *UserRingBuffer {
	t.Helper()
	rb, err := NewUserRingBuffer(getMap(t, m, "samples"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = rb.Write(make([]byte, 900))
	}
	wantErr(t, err, ErrNoSpace)
	return rb
}

// The output of an iterator continues when its link is dropped, and when the module is closed.
func TestLinkReaderOutlivesItsLink(t *testing.T) {
	needBPF(t)
	reader := func() *BPFLinkReader {
		m, err := NewModuleFromFile("testdata/iter.bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		link, err := getProgram(t, m, "list_maps").AttachGeneric()
		if err != nil {
			t.Fatal(err)
		}
		r, err := link.Reader()
		if err := errors.Join(err, link.Destroy()); err != nil {
			t.Fatal(err)
		}
		return r
	}()
	if !collected(1) {
		t.Error("the module isn't closed")
	}
	stop := collecting(func() {})
	defer stop()
	if text, err := io.ReadAll(reader); err != nil || len(text) == 0 {
		t.Errorf("%q, %v", text, err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

// The memory that Buffer returns is the kernel's until the reader is closed, also if the reader was dropped, and can
// be read and written for ever.
func TestPerfBufferMemoryStays(t *testing.T) {
	needTracefs(t)
	path := filepath.Join(bpffs(t), "link")
	for _, form := range []string{"PerfReader", "PerfBufferRaw"} {
		t.Run(form, func(t *testing.T) {
			cpu := onOneCPU(t)
			var memory [][]byte
			var module weak.Pointer[Module]
			func() {
				m, err := NewModuleFromFile("testdata/events.bpf.o")
				if err != nil {
					t.Fatal(err)
				}
				if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
					t.Fatal(err)
				}
				if err := m.BPFLoadObject(); err != nil {
					t.Fatal(err)
				}
				var r interface {
					Buffer(int) ([]byte, error)
					BufferCount() int
				}
				if form == "PerfReader" {
					r, err = NewPerfReader(getMap(t, m, "perf_events"), PerfReaderOptions{Pages: 2})
				} else {
					r, err = NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{Pages: 2, Attr: *bpfOutput(1)},
						func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
				}
				if err != nil {
					t.Fatal(err)
				}
				for i := range r.BufferCount() {
					one, err := r.Buffer(i)
					same, sameErr := r.Buffer(i)
					if err := errors.Join(err, sameErr); err != nil {
						t.Fatal(err)
					}
					if &one[0] != &same[0] || len(one) != 3*os.Getpagesize() {
						t.Errorf("buffer %d is at %p and %p, of %d bytes", i, one, same, len(one))
					}
					memory = append(memory, one)
				}
				link := attach(t, m, "perf_send_many")
				if err := errors.Join(link.Pin(path), link.Destroy()); err != nil {
					t.Fatal(err)
				}
				module = weak.Make(m)
			}()
			defer os.Remove(path)
			head := func(i int) uint64 {
				return *(*uint64)(unsafe.Pointer(&memory[i][unsafe.Offsetof(unix.PerfEventMmapPage{}.Data_head)]))
			}
			for i := range 10 {
				runtime.GC()
				time.Sleep(time.Millisecond)
				before := head(cpu)
				trigger(1)
				if after := head(cpu); after == before {
					t.Fatalf("event %d didn't come", i)
				}
			}
			m := module.Value()
			if m == nil {
				t.Fatal("the module was collected")
			}
			m.Close()
			for i := range memory {
				if slices.ContainsFunc(memory[i], func(b byte) bool { return b != 0 }) {
					t.Errorf("buffer %d isn't empty after Close", i)
				}
				memory[i][len(memory[i])-1] = 1
			}
		})
	}
}

// A reader whose memory was handed out doesn't hold its module once it is closed.
func TestClosedReaderDoesNotHoldItsModule(t *testing.T) {
	needBPF(t)
	func() {
		m, err := NewModuleFromFile("testdata/events.bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		r, err := NewPerfReader(getMap(t, m, "perf_events"), PerfReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Buffer(0)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
	}()
	if !collected(1) {
		t.Error("the module isn't closed")
	}
}
