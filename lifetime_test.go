package libbpfgo

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// handles has one handle of each type, all of one module and in use.
type handles struct {
	module   *Module
	bpfMap   *BPFMap
	iterator *BPFMapIterator
	prog     *BPFProg
	link     *BPFLink
	buffer   *RingBuffer
	events   chan []byte
	low      *BPFMapLow // of no module
	// Of testdata/events.bpf.o, which is the module others.
	others   *Module
	reader   *RingBufReader
	perf     *PerfBuffer
	perfRead *PerfReader
	perfRaw  *PerfBufferRaw
	userRing *UserRingBuffer
	sample   *Sample
}

func newHandles(t testing.TB) *handles {
	t.Helper()
	m := loadMain(t)
	h := &handles{module: m, bpfMap: getMap(t, m, "numbers"), prog: getProgram(t, m, "send_many"), events: make(chan []byte)}
	h.buffer = initRing(t, m, "count", h.events)
	h.buffer.Poll(300)
	h.iterator = h.bpfMap.Iterator()
	var err error
	if h.link, err = h.prog.AttachGeneric(); err != nil {
		t.Fatal(err)
	}
	trigger(10)
	if h.low, err = CreateMap(MapTypeHash, "numbers", 4, 8, 10, nil); err != nil {
		t.Fatal(err)
	}
	return h
}

// newOthers adds the handles of the other buffers.
func (h *handles) newOthers(t testing.TB) {
	t.Helper()
	m := loadEvents(t)
	h.others = m
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.reader, err = NewRingBufReader(getMap(t, m, "drained"))
	must(err)
	h.perf, err = m.InitPerfBuf("perf_events", make(chan []byte), make(chan uint64), 1)
	must(err)
	h.perf.Poll(300)
	h.perfRead, err = NewPerfReader(getMap(t, m, "perf_events"), PerfReaderOptions{Pages: 1})
	must(err)
	h.perfRaw, err = NewPerfBufferRaw(getMap(t, m, "perf_events"), PerfBufferRawOptions{Pages: 1, Attr: *bpfOutput(1)},
		func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
	must(err)
	h.userRing, err = m.InitUserRingBuf("samples", make(chan []byte))
	must(err)
	h.userRing.Start()
	h.sample, err = h.userRing.Reserve(8)
	must(err)
	must(h.sample.Submit())
}

// close closes the modules, and what is of none.
func (h *handles) close() {
	h.module.Close()
	h.others.Close()
	h.low.Close()
}

// arguments has what a method is called with, beyond what can be made up from the parameters' types.
func (h *handles) arguments(method reflect.Value) []reflect.Value {
	key, value := make([]byte, 4), make([]byte, 8)
	var args []reflect.Value
	for i := range method.Type().NumIn() {
		var arg any
		switch kind := method.Type().In(i); kind {
		case reflect.TypeFor[unsafe.Pointer]():
			arg = unsafe.Pointer(&value[0])
		case reflect.TypeFor[string]():
			arg = "numbers"
		case reflect.TypeFor[[]byte]():
			arg = [][]byte{key, value}[min(i, 1)]
		case reflect.TypeFor[*[]byte]():
			arg = &value
		case reflect.TypeFor[chan []byte]():
			arg = h.events
		case reflect.TypeFor[*RingBuffer]():
			arg = h.buffer
		case reflect.TypeFor[*BPFProg]():
			arg = h.prog
		case reflect.TypeFor[*BPFMap]():
			arg = h.bpfMap
		case reflect.TypeFor[*uint32]():
			arg = new(uint32)
		case reflect.TypeFor[*Record]():
			arg = new(Record)
		case reflect.TypeFor[*PerfRecord]():
			arg = new(PerfRecord)
		case reflect.TypeFor[[]Record]():
			arg = make([]Record, 1)
		case reflect.TypeFor[[]PerfRecord]():
			arg = make([]PerfRecord, 1)
		case reflect.TypeFor[[][]byte]():
			arg = [][]byte{value}
		case reflect.TypeFor[context.Context]():
			arg = context.Background()
		case reflect.TypeFor[func(Record) error]():
			arg = func(Record) error { return nil }
		case reflect.TypeFor[func(PerfRecord) error]():
			arg = func(PerfRecord) error { return nil }
		case reflect.TypeFor[int]():
			arg = 1
		case reflect.TypeFor[any]():
			arg = uint32(1)
		default:
			args = append(args, reflect.Zero(kind))
			continue
		}
		args = append(args, reflect.ValueOf(arg))
	}
	return args
}

// After the module was closed, every method of every type that returns an error returns os.ErrClosed, and none
// crashes.
func TestEveryMethodAfterClose(t *testing.T) {
	// These end what has ended already, report how it ended, or never return an error.
	fine := []string{
		"BPFLink.Destroy", "BPFLink.DestroyLegacy", "PerfBuffer.Err", "UserRingBuffer.Error", "RingBufReader.Close",
		"PerfReader.Close", "PerfBufferRaw.Close", "RingBuffer.Err", "BPFMapLow.Close", "BPFLinkReader.Close",
	}
	h := newHandles(t)
	h.newOthers(t)
	if !h.iterator.Next() && h.iterator.Err() != nil {
		t.Error(h.iterator.Err())
	}
	ring := h.reader.Rings()[0]
	h.close()
	tested := make(map[string]bool)
	for _, handle := range []any{
		h.module, h.bpfMap, h.iterator, h.prog, h.link, h.buffer, h.module.Iterator(), h.low, closedReader(t),
		h.others, h.reader, ring, h.perf, h.perfRead, h.perfRaw, h.userRing, h.sample,
	} {
		v := reflect.ValueOf(handle)
		tested[v.Elem().Type().Name()] = true
		for i := range v.NumMethod() {
			name := v.Elem().Type().Name() + "." + v.Type().Method(i).Name
			for _, result := range v.Method(i).Call(h.arguments(v.Method(i))) {
				if result.Type() != reflect.TypeFor[error]() {
					continue
				}
				err, _ := result.Interface().(error)
				if slices.Contains(fine, name) {
					if err != nil {
						t.Errorf("%s returns %v", name, err)
					}
				} else if name == "BPFMapIterator.Err" {
					// Next came before, or is still to come.
					_ = h.iterator.Next()
					wantErr(t, h.iterator.Err(), os.ErrClosed, "numbers")
				} else if !errors.Is(err, os.ErrClosed) && !olderLibbpf(err) {
					t.Errorf("%s returns %v", name, err)
				}
			}
		}
	}
	for _, name := range handleTypes(t) {
		if !tested[name] {
			t.Errorf("%s is missing here", name)
		}
	}
	if fd := h.link.FileDescriptor(); fd != -1 {
		t.Errorf("link's descriptor is %d", fd)
	}
	if fd := h.bpfMap.FileDescriptor(); fd != -1 {
		t.Errorf("map's descriptor is %d", fd)
	}
	if h.bpfMap.Name() != "numbers" || h.prog.Name() != "send_many" {
		t.Error("the names are gone")
	}
}

// handleTypes returns the exported types that have exported methods on their pointer, except errors.
func handleTypes(t *testing.T) []string {
	t.Helper()
	methods := make(map[string]bool)
	for _, file := range packageFiles(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			if pointer, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
				if name, ok := pointer.X.(*ast.Ident); ok && name.IsExported() {
					methods[name.Name] = true
				}
			}
		}
	}
	var names []string
	for name := range methods {
		// A TcHook has nothing of its module, and nothing to close.
		if !strings.HasSuffix(name, "Error") && name != "TcHook" {
			names = append(names, name)
		}
	}
	return names
}

func closedReader(t *testing.T) *BPFLinkReader {
	t.Helper()
	reader := newMapsReader(t)
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	return reader
}

// Every method of every type runs, over and over, while the module is being closed. None crashes,
// races with another or hangs, and nothing is left open.
func TestEveryMethodWhileClosing(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	leaksNothing(t, func() {
		// Attaching and detaching wait for the kernel: three modules do it together. The kernel takes
		// 64 programs at a tracepoint.
		for round := range rounds {
			var all sync.WaitGroup
			started := make(chan struct{})
			for g := range 3 {
				h := newHandles(t)
				h.newOthers(t)
				all.Add(1)
				go func() {
					defer all.Done()
					<-started
					h.useWhileClosing(3*round + g)
					wantErr(t, h.bpfMap.UpdateElem(key4(2), value8(2), 0), os.ErrClosed)
				}()
			}
			close(started)
			all.Wait()
		}
	})
}

// useWhileClosing calls all methods, beginning with the start'th, until the module has been closed.
func (h *handles) useWhileClosing(start int) {
	var all sync.WaitGroup
	closed := make(chan struct{})
	for _, handle := range []any{
		// An iterator is for one goroutine, which it has here.
		h.module, h.bpfMap, h.prog, h.link, h.buffer, h.bpfMap.Iterator(), h.module.Iterator(),
		h.reader, h.reader.Rings()[0], h.perf, h.perfRead, h.perfRaw, h.userRing, h.sample, h.low,
	} {
		v := reflect.ValueOf(handle)
		all.Add(1)
		go func() {
			defer all.Done()
			for i := start; ; i++ {
				select {
				case <-closed:
					return
				default:
				}
				n := i % v.NumMethod()
				if (handle == any(h.module) || handle == any(h.low)) && v.Type().Method(n).Name == "Close" {
					continue
				}
				closeResults(v.Method(n).Call(h.arguments(v.Method(n))))
			}
		}()
	}
	for range start {
		runtime.Gosched()
	}
	h.close()
	close(closed)
	all.Wait()
}

// closeResults closes what a method has opened and doesn't belong to the module.
func closeResults(results []reflect.Value) {
	for _, result := range results {
		if reader, ok := result.Interface().(*BPFLinkReader); ok && reader != nil {
			reader.Close()
		}
	}
}

// Every order of closing a link, a buffer and the module, each of them twice.
func TestCloseInEveryOrder(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	leaksNothing(t, func() {
		for _, order := range orders {
			h := newHandles(t)
			closers := []func(){
				func() {
					if err := h.link.Destroy(); err != nil {
						t.Error(err)
					}
				},
				h.buffer.Close,
				h.close,
			}
			for _, i := range order {
				closers[i]()
				closers[i]()
			}
			for range h.events {
			}
			if err := h.buffer.Err(); err != nil {
				t.Error(err)
			}
		}
	})
	var none *Module
	none.Close()
}

// An owned is what a module closes, and then calls f.
type owned struct{ f func() }

func (o *owned) close() { o.f() }

// What was made later may use what was made before: it is closed first.
func TestModuleClosesTheLastFirst(t *testing.T) {
	m := openMain(t)
	var closed []int
	for i := range 3 {
		if err := m.object.adopt(&owned{func() { closed = append(closed, i) }}); err != nil {
			t.Fatal(err)
		}
	}
	m.Close()
	if !slices.Equal(closed, []int{2, 1, 0}) {
		t.Errorf("closed in the order %d", closed)
	}
}

// Everything is used by other goroutines while it is being closed.
func TestUseWhileClosing(t *testing.T) {
	dir := bpffs(t)
	leaksNothing(t, func() {
		for round := range 40 {
			h := newHandles(t)
			path := filepath.Join(dir, strconv.Itoa(round))
			started := make(chan struct{})
			var all sync.WaitGroup
			for i, use := range []func() error{
				func() error { return h.bpfMap.UpdateElem(key4(2), value8(2), 0) },
				func() error { _, err := h.bpfMap.GetValue(unsafe.Pointer(&key4(1)[0])); return notFound(err) },
				func() error { return notFound(h.bpfMap.DeleteElem(key4(2))) },
				func() error {
					it := h.bpfMap.Iterator()
					for it.Next() {
					}
					return it.Err()
				},
				func() error {
					link, err := getProgramOr(h.module, "count_tracepoint")
					if err == nil {
						err = link.Destroy()
					}
					return err
				},
				func() error { err := h.bpfMap.Pin(path); _ = h.bpfMap.Unpin(path); return err },
				func() error { return h.link.UpdateProgram(h.prog) },
				func() error { _, err := h.link.Reader(); return err },
				func() error { h.buffer.Stop(); return nil },
				func() error { _, err := h.module.InitRingBuf("more_events", make(chan []byte)); return err },
				func() error {
					_, _, _, _ = h.link.FileDescriptor(), h.prog.FileDescriptor(), h.bpfMap.MaxEntries(), h.link.PinPath()
					return nil
				},
				func() error { return h.link.Destroy() },
			} {
				all.Add(1)
				go func() {
					defer all.Done()
					<-started
					for n := range 50 {
						// During the closing, any error may be returned; afterwards, only os.ErrClosed.
						if errors.Is(use(), os.ErrClosed) && n > 5 {
							return
						}
						if i%2 == 0 {
							runtime.Gosched()
						}
					}
				}()
			}
			for range 3 {
				all.Add(1)
				go func() {
					defer all.Done()
					<-started
					for range round * 20 {
						runtime.Gosched()
					}
					h.close()
				}()
			}
			close(started)
			all.Wait()
			wantErr(t, h.bpfMap.UpdateElem(key4(2), value8(2), 0), os.ErrClosed)
		}
	})
}

func notFound(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func getProgramOr(m *Module, name string) (*BPFLink, error) {
	prog, err := m.GetProgram(name)
	if err != nil {
		return nil, err
	}
	return prog.AttachTracepoint("syscalls", "sys_enter_getpgid")
}

// collected runs the garbage collector until as many modules were closed by it.
func collected(n int32) bool {
	for range 200 {
		runtime.GC()
		if droppedObjects.CompareAndSwap(n, 0) {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func TestDroppedModulesAreClosed(t *testing.T) {
	needBPF(t)
	leaksNothing(t, func() {
		drop := func(use func(*Module)) {
			m, err := NewModuleFromFile(mainObject)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.BPFLoadObject(); err != nil {
				t.Fatal(err)
			}
			use(m)
		}
		drop(func(*Module) {})
		drop(func(m *Module) {
			if err := attach(t, m, "count").Destroy(); err != nil {
				t.Error(err)
			}
		})
		drop(func(m *Module) {
			if _, err := m.InitRingBuf("events", make(chan []byte)); err != nil {
				t.Fatal(err)
			}
		})
		drop(func(m *Module) {
			rb, err := m.InitRingBuf("events", make(chan []byte))
			if err != nil {
				t.Fatal(err)
			}
			rb.Poll(1)
			rb.Stop()
		})
		if !collected(4) {
			t.Errorf("%d of 4 dropped modules were closed", droppedObjects.Load())
		}
	})
}

// Links and buffers continue to work when the module was dropped.
func TestModuleAtWorkIsNotCollected(t *testing.T) {
	needTracefs(t)
	events := make(chan []byte)
	begin := func(attachIt bool) *feeder {
		m, err := NewModuleFromFile(mainObject)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
			t.Fatal(err)
		}
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		rb, err := m.InitRingBuf("events", events)
		if err != nil {
			t.Fatal(err)
		}
		rb.Poll(300)
		if attachIt {
			attach(t, m, "send_many")
		}
		return rb.feeder
	}
	begin(true)
	for i := range 10 {
		runtime.GC()
		trigger(1)
		wantSequence(t, events, i, 1)
	}
	linkedModules.mutex.Lock()
	var held []*Module
	for m, links := range linkedModules.links {
		if links == 1 {
			held = append(held, m)
		}
	}
	linkedModules.mutex.Unlock()
	if len(held) != 1 {
		t.Fatalf("%d modules are at work", len(held))
	}
	held[0].Close()
	wantClosed(t, events)

	// Without a link, only the polling keeps the module alive.
	events = make(chan []byte)
	feeder := begin(false)
	for range 10 {
		runtime.GC()
	}
	select {
	case <-events:
		t.Error("the polling has ended")
	default:
	}
	if n := droppedObjects.Load(); n > 0 {
		t.Error("a module that polls was closed")
	}
	feeder.stop()
	if !collected(1) {
		t.Error("a module isn't closed after its polling has ended")
	}
}

// A buffer that polls rings of another module than its own keeps that one alive, too. Before it polls, the buffer
// itself keeps it alive.
func TestModuleOfAddedRingIsNotCollected(t *testing.T) {
	needTracefs(t)
	for _, when := range []string{"before polling", "while polling"} {
		t.Run(when, func(t *testing.T) {
			m := loadMain(t)
			rb, err := m.InitRingBuf("events", make(chan []byte))
			if err != nil {
				t.Fatal(err)
			}
			more := make(chan []byte, 1)
			if when == "while polling" {
				rb.Poll(300)
			}
			func() {
				other, err := NewModuleFromFile(mainObject)
				if err != nil {
					t.Fatal(err)
				}
				if err := other.BPFLoadObject(); err != nil {
					t.Fatal(err)
				}
				if _, err := other.AddRingBuf(rb, "more_events", more); err != nil {
					t.Fatal(err)
				}
			}()
			for _, state := range []string{"held", "polled"} {
				for range 20 {
					runtime.GC()
					time.Sleep(time.Millisecond)
				}
				if droppedObjects.Swap(0) > 0 {
					t.Fatalf("the added ring's module was closed while it is %s", state)
				}
				rb.Poll(300)
			}
			rb.Close()
			if !collected(1) {
				t.Error("the module isn't closed after its ring's buffer was")
			}
			runtime.KeepAlive(rb)
		})
	}
}

// A thousand times from open to close: descriptors and memory stay what they are. That is seen in
// a process that does nothing else.
func TestThousandRounds(t *testing.T) {
	if testing.Short() {
		t.Skip("1,000 rounds take some seconds: not with -short")
	}
	needBPF(t)
	if !isChild(t.Name()) {
		t.Parallel()
		inChild(t, t.Name())
		return
	}
	before, goroutines := countOpenFiles(), runtime.NumGoroutine()
	// Memory goes up and down: of the early rounds the most counts, of the late ones the least.
	early, late := 0, 1<<40
	for i := range 1000 {
		m, err := NewModuleFromFile(mainObject)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
			t.Fatal(err)
		}
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		events := make(chan []byte)
		rb, err := m.InitRingBuf("events", events)
		if err != nil {
			t.Fatal(err)
		}
		rb.Poll(300)
		if _, err := getProgram(t, m, "count").AttachGeneric(); err != nil {
			t.Fatal(err)
		}
		trigger(0)
		if counted(t, getMap(t, m, "numbers")) == 0 {
			t.Fatal("the program doesn't run")
		}
		m.Close()
		wantClosed(t, events)
		if i >= 200 && i < 300 {
			early = max(early, residentKiB(t))
		}
		if i >= 900 {
			late = min(late, residentKiB(t))
		}
	}
	if after := countOpenFiles(); after != before {
		t.Errorf("%d open descriptors, %d before", after, before)
	}
	for runtime.NumGoroutine() > goroutines { // goroutines that have closed their channel are about to end
		runtime.Gosched()
	}
	// The race detector has memory of its own, which grows with the addresses that were ever used.
	if residentMemoryTells && !raceDetector && late > early+1024 {
		t.Errorf("memory grew from %d KiB at most in rounds 200 to 300 to %d KiB at least after round 900", early, late)
	}
}

// residentKiB returns the process's resident memory that isn't of a file.
func residentKiB(t *testing.T) int {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var n int
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &n); err == nil {
			return n
		}
	}
	t.Fatal("/proc/self/status has no RssAnon")
	return 0
}
