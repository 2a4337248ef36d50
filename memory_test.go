package libbpfgo

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// besidePointers is memory of a user's that has Go pointers on both sides.
type besidePointers struct {
	before *string
	memory [4096]byte
	after  []string
}

// newBesidePointers returns such memory on the heap.
func newBesidePointers() *[4096]byte {
	name := strings.Repeat("x", 3)
	m := &besidePointers{before: &name, after: []string{name}}
	escaped = m
	return &m.memory
}

var escaped any

// takesMemory is true for the types of parameters that are memory of the caller's.
func takesMemory(kind reflect.Type) bool {
	switch kind {
	case reflect.TypeFor[unsafe.Pointer](), reflect.TypeFor[[]byte](), reflect.TypeFor[*[]byte](), reflect.TypeFor[[][]byte](),
		reflect.TypeFor[*RunOpts](), reflect.TypeFor[*Record](), reflect.TypeFor[*PerfRecord](), reflect.TypeFor[[]Record](),
		reflect.TypeFor[[]PerfRecord]():
		return true
	}
	return false
}

// Every method that takes memory of the caller's, with memory that is a part of something with Go pointers: cgo
// panics where C is given an unsafe.Pointer into it.
func TestEveryMethodWithMemoryBesidePointers(t *testing.T) {
	h := newHandles(t)
	h.newOthers(t)
	defer h.close()
	queue, err := CreateMap(MapTypeQueue, "queue", 0, 8, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	past := time.Now()
	h.reader.SetDeadline(past)
	h.perfRead.SetDeadline(past)
	before := openMain(t)
	xdp := getProgram(t, loadAttach(t, "on_xdp"), "on_xdp")
	reader := newMapsReader(t)
	defer reader.Close()

	called := make(map[string]bool)
	for _, handle := range []any{
		h.module, h.bpfMap, h.iterator, h.prog, h.link, h.buffer, h.low, h.reader, h.perf, h.perfRead, h.perfRaw, h.userRing,
		h.sample, queue, getMap(t, before, ".data"), xdp, reader,
	} {
		v := reflect.ValueOf(handle)
		for i := range v.NumMethod() {
			method, name := v.Method(i), v.Elem().Type().Name()+"."+v.Type().Method(i).Name
			args := h.arguments(method)
			memory := 0
			for n := range args {
				kind := args[n].Type()
				if !takesMemory(kind) {
					if kind == reflect.TypeFor[uint32]() || kind == reflect.TypeFor[uint64]() {
						args[n] = reflect.ValueOf(8).Convert(kind)
					}
					continue
				}
				area := newBesidePointers()
				switch kind {
				case reflect.TypeFor[unsafe.Pointer]():
					args[n] = reflect.ValueOf(unsafe.Pointer(area))
				case reflect.TypeFor[[]byte]():
					args[n] = reflect.ValueOf(area[:args[n].Len()])
				case reflect.TypeFor[*[]byte]():
					slice := area[:args[n].Elem().Len()]
					args[n] = reflect.ValueOf(&slice)
				case reflect.TypeFor[[][]byte]():
					args[n] = reflect.ValueOf([][]byte{area[:8], area[8:16]})
				case reflect.TypeFor[*RunOpts]():
					args[n] = reflect.ValueOf(&RunOpts{
						DataIn: area[:64], DataSizeIn: 64, DataOut: newBesidePointers()[:128], DataSizeOut: 128,
						CtxOut: newBesidePointers()[:64], CtxSizeOut: 64,
					})
				case reflect.TypeFor[*Record]():
					args[n] = reflect.ValueOf(&Record{RawSample: area[:]})
				case reflect.TypeFor[*PerfRecord]():
					args[n] = reflect.ValueOf(&PerfRecord{RawSample: area[:]})
				case reflect.TypeFor[[]Record]():
					args[n] = reflect.ValueOf([]Record{{RawSample: area[:]}})
				case reflect.TypeFor[[]PerfRecord]():
					args[n] = reflect.ValueOf([]PerfRecord{{RawSample: area[:]}})
				}
				memory++
			}
			if memory == 0 {
				continue
			}
			called[name] = true
			if err := recovered(func() error { method.Call(args); return nil }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// The test is of no use if it calls nothing.
	for _, name := range []string{
		"BPFMap.Update", "BPFMap.SetInitialValue", "BPFMap.LookupAndDeleteElem", "BPFMapLow.GetValueBatch", "BPFProg.Run",
		"BPFLinkReader.Read", "RingBufReader.ReadInto", "PerfReader.ReadInto", "UserRingBuffer.WriteBatch",
	} {
		if !called[name] {
			t.Errorf("%s wasn't called", name)
		}
	}
}

// What takes memory of the caller's and is no method, or takes it in options.
func TestFunctionsWithMemoryBesidePointers(t *testing.T) {
	needBPF(t)
	image, err := os.ReadFile(mainObject)
	if err != nil {
		t.Fatal(err)
	}
	holder := &struct {
		name  *string
		image [1 << 20]byte
		pid   uint32
		opts  PerfBufferRawOptions
		hook  TcOpts
	}{name: new(string)}
	escaped = holder
	n := copy(holder.image[:], image)
	m, err := NewModuleFromBuffer(holder.image[:n], "main")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.InitGlobalVariable("target_pid", &holder.pid); err != nil {
		t.Error(err)
	}
	others := loadEvents(t)
	holder.opts = PerfBufferRawOptions{Pages: 1, Attr: *bpfOutput(1), CPUs: []int{0}, MapKeys: []int{0}}
	raw, err := NewPerfBufferRaw(getMap(t, others, "perf_events"), holder.opts, func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
	if err != nil {
		t.Fatal(err)
	}
	raw.Close()
	hook := m.TcHookInit()
	hook.SetInterfaceByIndex(1 << 30)
	hook.SetAttachPoint(BPFTcIngress)
	holder.hook = TcOpts{Handle: 1, Priority: 1}
	wantErr(t, hook.Query(&holder.hook), syscall.ENODEV, "query TC hook 1 of network interface 1073741824")
}

// Keys and values may be fields of structs with Go pointers.
func TestElementsBesidePointers(t *testing.T) {
	m := loadMain(t)
	low, err := CreateMap(MapTypeHash, "low", 4, 8, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer low.Close()
	type entry struct {
		Name string
		Key  [4]byte
		Val  uint64
		Next *entry
	}
	entries := []*entry{{Name: strings.Repeat("a", 2), Key: [4]byte{1}, Val: 10}, {Name: strings.Repeat("b", 2), Key: [4]byte{2}, Val: 20}}
	entries[0].Next, entries[1].Next = entries[1], entries[0]
	escaped = entries
	for _, e := range entries {
		for _, elements := range []*elements{&getMap(t, m, "numbers").elements, &low.elements} {
			if err := elements.Update(unsafe.Pointer(&e.Key), unsafe.Pointer(&e.Val)); err != nil {
				t.Fatal(err)
			}
			next := e.Next
			want := next.Val
			if err := elements.UpdateElem(e.Next.Key[:], value8(want), 0); err != nil {
				t.Fatal(err)
			}
			next.Val = 0
			value := unsafe.Slice((*byte)(unsafe.Pointer(&next.Val)), 8)
			if err := elements.LookupElem(next.Key[:], value, 0); err != nil || next.Val != want {
				t.Errorf("got %d, %v; want %d", next.Val, err, want)
			}
			next.Val = 0
			if err := elements.GetValueReadInto(unsafe.Pointer(&next.Key), &value); err != nil || next.Val != want {
				t.Errorf("got %d, %v; want %d", next.Val, err, want)
			}
			if err := elements.DeleteElem(e.Key[:]); err != nil {
				t.Error(err)
			}
			wantErr(t, elements.DeleteKey(unsafe.Pointer(&e.Key)), syscall.ENOENT)
		}
	}
}

// newMapsReader returns the output of an iterator over all maps.
func newMapsReader(t *testing.T) *BPFLinkReader {
	t.Helper()
	m, err := NewModuleFromFile("testdata/iter.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	link, err := getProgram(t, m, "list_maps").AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := link.Reader()
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

// The strings that C gets are freed, whether a program is attached or not. A child has nothing but them in its heap.
func TestStringsAreFreed(t *testing.T) {
	if !residentMemoryTells || raceDetector {
		return // the sanitizers have heaps of their own, and that of addresses looks for leaks itself
	}
	needTracefs(t)
	if !isChild(t.Name()) {
		inChild(t, t.Name(), "MALLOC_ARENA_MAX=1", "MALLOC_MMAP_THRESHOLD_=1000000000", "MALLOC_TRIM_THRESHOLD_=1000000000")
		return
	}
	const rounds, length = 100, 20000
	long := strings.Repeat("x", length)
	m := loadAttach(t, "on_uprobe", "on_tracepoint", "on_raw_tracepoint", "on_kprobe", "on_packet", "on_connect")
	uprobe, tracepoint, kprobe := getProgram(t, m, "on_uprobe"), getProgram(t, m, "on_tracepoint"), getProgram(t, m, "on_kprobe")
	numbers := getMap(t, m, "calls")
	targets, _ := loadTargets(t)
	usdt := getTargetProgram(t, targets, "on_tracepoint")
	second, err := NewModuleFromFile("testdata/target.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	unloaded := getTargetProgram(t, second, "on_tracepoint")
	opened, image := openMain(t), readFile(t, mainObject)
	t.Chdir(t.TempDir())
	writeTarget(t, buildTarget(targetSpec{}))
	// libbpf gets the file by a short name, which takes more rounds to be seen, of which the first ones fill what is free in
	// the heap. A program that isn't loaded is refused fast.
	const many = 20000
	before := 0
	for i := range 2 * many {
		if i == many {
			before = heapSize(t)
		}
		_, err := unloaded.AttachUSDT(-1, "./target", "test", "probe")
		if !errors.Is(err, syscall.EINVAL) {
			t.Fatal(err)
		}
	}
	if grown := heapSize(t) - before; grown > many*16 {
		t.Errorf("AttachUSDT of what isn't loaded: the heap has grown by %d bytes", grown)
	}
	link := func(_ *BPFLink, err error) error { return err }
	for name, call := range map[string]func() error{
		"AttachUSDT provider":       func() error { return link(usdt.AttachUSDT(-1, "./target", long, "probe")) },
		"AttachUSDT name":           func() error { return link(usdt.AttachUSDT(-1, "./target", "test", long)) },
		"AttachUSDT, zero byte":     func() error { return link(usdt.AttachUSDT(-1, "./target", long, "\x00")) },
		"AttachUprobeOpts":          func() error { return link(uprobe.AttachUprobeOpts(-1, "./target", 0, UprobeOpts{FuncName: long})) },
		"AttachTracepoint category": func() error { return link(tracepoint.AttachTracepoint(long, "x")) },
		"AttachTracepoint name":     func() error { return link(tracepoint.AttachTracepoint("x", long)) },
		"AttachTracepoint, zero":    func() error { return link(tracepoint.AttachTracepoint(long, "\x00")) },
		"AttachRawTracepoint": func() error {
			return link(getProgram(t, m, "on_raw_tracepoint").AttachRawTracepoint(long))
		},
		"AttachKprobe":   func() error { return link(kprobe.AttachKprobe(long)) },
		"AttachKsyscall": func() error { return link(kprobe.AttachKsyscall(long, KsyscallOpts{})) },
		"AttachKprobeMultiOpts pattern": func() error {
			return link(kprobe.AttachKprobeMultiOpts(long, KprobeMultiOpts{Symbols: []string{"x"}}))
		},
		"AttachKprobeMultiOpts symbols": func() error {
			return link(kprobe.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{long, long}}))
		},
		"AttachKprobeMultiOpts, zero byte": func() error {
			return link(kprobe.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{long, "\x00"}}))
		},
		"AttachFreplace":          func() error { return link(uprobe.AttachFreplace(0, long)) },
		"BPFProg.SetAttachTarget": func() error { return getProgram(t, opened, "count").SetAttachTarget(1<<30, long) },
		"BPFProg.Pin":             func() error { return uprobe.Pin(long) },
		"BPFProg.Unpin":           func() error { return uprobe.Unpin(long) },
		"BPFMap.Pin":              func() error { return numbers.Pin(long) },
		"BPFMap.Unpin":            func() error { return numbers.Unpin(long) },
		"CreateMap":               func() error { _, err := CreateMap(MapTypeHash, long, 0, 0, 0, nil); return err },
		"GetMap":                  func() error { _, err := m.GetMap(long); return err },
		"GetProgram":              func() error { _, err := m.GetProgram(long); return err },
		"InitGlobalVariable":      func() error { return opened.InitGlobalVariable(long, uint32(1)) },
		"NewModuleFromBufferArgs": func() error { _, err := NewModuleFromBufferArgs(NewModuleArgs{BPFObjName: long}); return err },
		"NewModuleFromBuffer": func() error {
			return openAndClose(NewModuleArgs{BPFObjBuff: image, BPFObjName: long})
		},
		"NewModuleArgs.BPFTokenPath": func() error {
			return openAndClose(NewModuleArgs{BPFObjBuff: image, BPFTokenPath: long})
		},
	} {
		_ = call()
		before := heapSize(t)
		for range rounds {
			_ = call()
		}
		if grown := heapSize(t) - before; grown > rounds*length/2 {
			t.Errorf("%s: the heap has grown by %d bytes", name, grown)
		}
	}
}

func openAndClose(args NewModuleArgs) error {
	m, err := NewModuleFromBufferArgs(args)
	if err == nil {
		m.Close()
	}
	return err
}

// heapSize returns how many bytes the heap of the C library has.
func heapSize(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, "/proc/self/maps"))) {
		var start, end int
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err == nil && strings.HasSuffix(line, "[heap]\n") {
			return end - start
		}
	}
	t.Fatal("the process has no heap")
	return 0
}
