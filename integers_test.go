package libbpfgo

import (
	"errors"
	"go/ast"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A wideCall passes a number of more than 32 bits to the library. Its lower 32 bits would be valid.
type wideCall struct {
	want error
	call func() error
}

// wideCalls returns a call for each parameter, and each field of options, that may be too wide for C, by the names of
// the type, if there is one, the function, and the parameter.
func wideCalls(t *testing.T) map[string]wideCall {
	const beyond = 1 << 32
	m := loadAttach(t, "on_skb")
	skb, numbers := getProgram(t, m, "on_skb"), getMap(t, m, "calls")
	fd := beyond + numbers.FileDescriptor()
	low, err := CreateMap(MapTypeArray, "wide", 4, 8, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { low.Close() })
	create := func(keySize, valueSize, maxEntries int) func() error {
		return func() error {
			m, err := CreateMap(MapTypeArray, "wide", keySize, valueSize, maxEntries, nil)
			if err == nil {
				m.Close()
			}
			return err
		}
	}

	events := loadEvents(t)
	perfEvents := getMap(t, events, "perf_events")
	perf := newPerf(t, events, PerfReaderOptions{})
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_BPF_OUTPUT}
	raw, err := NewPerfBufferRaw(getMap(t, loadEvents(t), "perf_events"), PerfBufferRawOptions{Pages: 1, Attr: attr},
		func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	newRaw := func(pages int, cpus, keys []int) func() error {
		return func() error {
			p, err := NewPerfBufferRaw(perfEvents, PerfBufferRawOptions{Pages: pages, Attr: attr, CPUs: cpus, MapKeys: keys},
				func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
			if err == nil {
				p.Close()
			}
			return err
		}
	}
	newReader := func(opts PerfReaderOptions) func() error {
		return func() error {
			r, err := NewPerfReader(perfEvents, opts)
			if err == nil {
				r.Close()
			}
			return err
		}
	}

	attach := func(do func() (*BPFLink, error)) wideCall {
		return wideCall{syscall.ERANGE, func() error {
			link, err := do()
			if err == nil {
				_ = link.Destroy()
			}
			return err
		}}
	}
	order := OrderOpts{Flags: BPFFAfter, RelativeFD: beyond + skb.FileDescriptor()}
	iter := func(opts IterOpts) wideCall {
		return attach(func() (*BPFLink, error) { return skb.AttachIter(opts) })
	}
	tc := func(opts TcOpts, do func(*TcHook, *TcOpts) error) wideCall {
		return wideCall{syscall.ERANGE, func() error {
			hook := m.TcHookInit()
			hook.SetInterfaceByIndex(1)
			hook.SetAttachPoint(BPFTcIngress)
			return do(hook, &opts)
		}}
	}
	parent := func(major, minor int) wideCall {
		return tc(TcOpts{Handle: 1, Priority: 1}, func(hook *TcHook, opts *TcOpts) error {
			hook.SetParent(major, minor)
			return hook.Query(opts)
		})
	}

	calls := map[string]wideCall{
		"GetMapInfoByFD.fd":                {syscall.ERANGE, func() error { _, err := GetMapInfoByFD(fd); return err }},
		"BPFMap.ReuseFD.fd":                {syscall.ERANGE, func() error { return numbers.ReuseFD(fd) }},
		"BPFMapLow.ReuseFD.fd":             {syscall.ERANGE, func() error { return low.ReuseFD(fd) }},
		"BPFMap.SetInnerMap.templateMapFD": {syscall.ERANGE, func() error { return numbers.SetInnerMap(fd) }},
		"BPFMap.LookupAndDeleteElem.valueSize": {syscall.EINVAL, func() error {
			var key uint32
			var value uint64
			return numbers.LookupAndDeleteElem(unsafe.Pointer(&key), unsafe.Pointer(&value), beyond+8, 0)
		}},
		"CreateMap.keySize":    {syscall.EINVAL, create(beyond+4, 8, 1)},
		"CreateMap.valueSize":  {syscall.EINVAL, create(4, beyond+8, 1)},
		"CreateMap.maxEntries": {syscall.EINVAL, create(4, 8, beyond+1)},

		"BPFProg.SetAttachTarget.attachProgFD": {syscall.ERANGE, func() error { return skb.SetAttachTarget(beyond+skb.FileDescriptor(), "x") }},
		"BPFProg.AttachFreplace.targetFD": attach(func() (*BPFLink, error) {
			return skb.AttachFreplace(beyond+skb.FileDescriptor(), "x")
		}),
		"BPFProg.AttachPerfEvent.fd":          attach(func() (*BPFLink, error) { return skb.AttachPerfEvent(fd) }),
		"BPFProg.AttachPerfEventOpts.fd":      attach(func() (*BPFLink, error) { return skb.AttachPerfEventOpts(fd, PerfEventOpts{}) }),
		"BPFProg.AttachTCX.RelativeFD":        attach(func() (*BPFLink, error) { return skb.AttachTCX("lo", order) }),
		"BPFProg.AttachNetkit.RelativeFD":     attach(func() (*BPFLink, error) { return skb.AttachNetkit("lo", order) }),
		"BPFProg.AttachCgroupOpts.RelativeFD": attach(func() (*BPFLink, error) { return skb.AttachCgroupOpts("/", order) }),
		"BPFProg.AttachSockMap.mapFD":         attach(func() (*BPFLink, error) { return skb.AttachSockMap(fd) }),
		"BPFProg.AttachIter.MapFd":            iter(IterOpts{MapFd: fd}),
		"BPFProg.AttachIter.CgroupFd":         iter(IterOpts{CgroupFd: fd}),
		"BPFProg.AttachIter.Tid":              iter(IterOpts{Tid: beyond + 1}),
		"BPFProg.AttachIter.Pid":              iter(IterOpts{Pid: beyond + 1}),
		"BPFProg.AttachIter.PidFd":            iter(IterOpts{PidFd: fd}),
		"BPFProg.AttachGenericFD.targetFD": {syscall.ERANGE, func() error {
			return skb.AttachGenericFD(fd, BPFAttachTypeCgroupInetEgress, BPFFNone)
		}},
		"BPFProg.DetachGenericFD.targetFD": {syscall.ERANGE, func() error {
			return skb.DetachGenericFD(fd, BPFAttachTypeCgroupInetEgress)
		}},
		"BPFProg.Run.Repeat": {syscall.EINVAL, func() error {
			return skb.Run(&RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64, Repeat: beyond + 1})
		}},

		"TcHook.SetInterfaceByIndex.ifaceIdx": tc(TcOpts{Handle: 1, Priority: 1}, func(hook *TcHook, opts *TcOpts) error {
			hook.SetInterfaceByIndex(beyond + 1)
			return hook.Query(opts)
		}),
		"TcHook.SetParent.a":     parent(beyond+1, 1),
		"TcHook.SetParent.b":     parent(1, beyond+1),
		"TcHook.Attach.ProgFd":   tc(TcOpts{ProgFd: beyond + skb.FileDescriptor()}, (*TcHook).Attach),
		"TcHook.Attach.Handle":   tc(TcOpts{ProgFd: skb.FileDescriptor(), Handle: beyond + 1, Priority: 1}, (*TcHook).Attach),
		"TcHook.Attach.Priority": tc(TcOpts{ProgFd: skb.FileDescriptor(), Handle: 1, Priority: beyond + 1}, (*TcHook).Attach),
		"TcHook.Detach.Handle":   tc(TcOpts{Handle: beyond + 1, Priority: 1}, (*TcHook).Detach),
		"TcHook.Detach.Priority": tc(TcOpts{Handle: 1, Priority: beyond + 1}, (*TcHook).Detach),
		"TcHook.Query.Handle":    tc(TcOpts{Handle: beyond + 1, Priority: 1}, (*TcHook).Query),
		"TcHook.Query.Priority":  tc(TcOpts{Handle: 1, Priority: beyond + 1}, (*TcHook).Query),

		"Module.InitPerfBuf.pageCnt": {syscall.E2BIG, func() error {
			_, err := events.InitPerfBuf("perf_events", make(chan []byte), nil, beyond)
			return err
		}},
		"NewPerfReader.Pages":          {syscall.E2BIG, newReader(PerfReaderOptions{Pages: beyond})},
		"NewPerfReader.WakeupEvents":   {syscall.EINVAL, newReader(PerfReaderOptions{WakeupEvents: beyond + 1})},
		"NewPerfBufferRaw.Pages":       {syscall.E2BIG, newRaw(beyond, nil, nil)},
		"NewPerfBufferRaw.CPUs":        {syscall.ERANGE, newRaw(1, []int{beyond}, []int{0})},
		"NewPerfBufferRaw.MapKeys":     {syscall.ERANGE, newRaw(1, []int{0}, []int{beyond})},
		"PerfReader.BufferFD.index":    {syscall.EINVAL, func() error { _, err := perf.BufferFD(beyond); return err }},
		"PerfReader.Buffer.index":      {syscall.EINVAL, func() error { _, err := perf.Buffer(beyond); return err }},
		"PerfBufferRaw.BufferFD.index": {syscall.EINVAL, func() error { _, err := raw.BufferFD(beyond); return err }},
		"PerfBufferRaw.Buffer.index":   {syscall.EINVAL, func() error { _, err := raw.Buffer(beyond); return err }},
		"PerfReader.ConsumeBuffer.index": {syscall.EINVAL, func() error {
			_, err := perf.ConsumeBuffer(beyond, func(PerfRecord) error { return nil })
			return err
		}},
		"PerfBufferRaw.ConsumeBuffer.index": {syscall.EINVAL, func() error {
			_, err := raw.ConsumeBuffer(beyond)
			return err
		}},
	}
	for name, attachUprobe := range map[string]func(pid int) (*BPFLink, error){
		"AttachUprobe":            func(pid int) (*BPFLink, error) { return skb.AttachUprobe(pid, "/bin/sh", 0) },
		"AttachURetprobe":         func(pid int) (*BPFLink, error) { return skb.AttachURetprobe(pid, "/bin/sh", 0) },
		"AttachUprobeWithOpts":    func(pid int) (*BPFLink, error) { return skb.AttachUprobeWithOpts(pid, "/bin/sh", 0, 0) },
		"AttachURetprobeWithOpts": func(pid int) (*BPFLink, error) { return skb.AttachURetprobeWithOpts(pid, "/bin/sh", 0, 0) },
		"AttachUprobeOpts":        func(pid int) (*BPFLink, error) { return skb.AttachUprobeOpts(pid, "/bin/sh", 0, UprobeOpts{}) },
		"AttachUprobeMulti":       func(pid int) (*BPFLink, error) { return skb.AttachUprobeMulti(pid, "/bin/sh", []uint64{1}, nil) },
		"AttachURetprobeMulti":    func(pid int) (*BPFLink, error) { return skb.AttachURetprobeMulti(pid, "/bin/sh", []uint64{1}, nil) },
		"AttachUprobeMultiOpts": func(pid int) (*BPFLink, error) {
			return skb.AttachUprobeMultiOpts(pid, "/bin/sh", "*", UprobeMultiOpts{})
		},
		"AttachUSDT":     func(pid int) (*BPFLink, error) { return skb.AttachUSDT(pid, "/bin/sh", "a", "b") },
		"AttachUSDTOpts": func(pid int) (*BPFLink, error) { return skb.AttachUSDTOpts(pid, "/bin/sh", "a", "b", USDTOpts{}) },
	} {
		calls["BPFProg."+name+".pid"] = attach(func() (*BPFLink, error) { return attachUprobe(beyond + 1) })
	}
	rb, err := NewUserRingBuffer(getMap(t, events, "samples"))
	if err != nil {
		t.Fatal(err)
	}
	for name, reserve := range map[string]func(size int) (*Sample, error){
		"Reserve":         rb.Reserve,
		"ReserveBlocking": func(size int) (*Sample, error) { return rb.ReserveBlocking(size, 0) },
	} {
		calls["UserRingBuffer."+name+".size"] = wideCall{syscall.E2BIG, func() error { _, err := reserve(beyond + 8); return err }}
	}
	return calls
}

// No number is cut off on its way to C.
func TestWideIntegers(t *testing.T) {
	for name, call := range wideCalls(t) {
		leaksNothing(t, func() {
			err := call.call()
			if !errors.Is(err, call.want) && !olderLibbpf(err) {
				t.Errorf("%s: error is %v, want one that is %v", name, err, call.want)
			}
		})
	}
	if text := LibbpfErrno(1<<32 + int(LibbpfErrnoFormat)).Error(); text == LibbpfErrnoFormat.Error() {
		t.Errorf("another number is %q", text)
	}
}

// inGo are the numbers that have no call in wideCalls, with the reason.
var inGo = map[string]string{
	"CalcMapValueSize.valueSize":                "C doesn't get it",
	"PerfBuffer.Poll.timeout":                   "Go waits",
	"RingBuffer.Poll.timeout":                   "Go waits",
	"Ring.ConsumeN.n":                           "Go counts",
	"RingBufReader.ConsumeN.n":                  "Go counts",
	"TcHook.Attach.ProgId":                      "set by the call",
	"TcHook.Detach.ProgFd":                      "without effect",
	"TcHook.Detach.ProgId":                      "without effect",
	"TcHook.Query.ProgFd":                       "without effect",
	"TcHook.Query.ProgId":                       "set by the call",
	"PerfReader.ReadInto.CPU":                   "set by the call",
	"PerfReader.ReadInto.LostSamples":           "set by the call",
	"PerfReader.ReadInto.Remaining":             "set by the call",
	"PerfReader.ReadBatch.CPU":                  "set by the call",
	"PerfReader.ReadBatch.LostSamples":          "set by the call",
	"PerfReader.ReadBatch.Remaining":            "set by the call",
	"BPFProg.AttachIter.CgroupId":               "64 bits in C",
	"BPFProg.AttachTCX.ExpectedRevision":        "64 bits in C",
	"BPFProg.AttachNetkit.ExpectedRevision":     "64 bits in C",
	"BPFProg.AttachCgroupOpts.ExpectedRevision": "64 bits in C",
	"BPFProg.AttachKprobeMultiOpts.Addresses":   "64 bits in C",
	"BPFMap.SetMapExtra.extra":                  "64 bits in C",
	"CreateMap.MapExtra":                        "64 bits in C",
}

// A number that is new has a call in wideCalls, or a reason to have none.
func TestWideIntegersAreAll(t *testing.T) {
	calls := wideCalls(t)
	structs := make(map[string]*ast.StructType)
	var functions []*ast.FuncDecl
	for _, file := range packageFiles(t) {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Name.IsExported() {
					functions = append(functions, decl)
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						if kind, ok := spec.Type.(*ast.StructType); ok {
							structs[spec.Name.Name] = kind
						}
					}
				}
			}
		}
	}
	found := make(map[string]bool)
	for _, f := range functions {
		function := f.Name.Name
		if f.Recv != nil {
			function = typeName(f.Recv.List[0].Type) + "." + function
		}
		for _, param := range wideNumbers(f.Type.Params, structs) {
			name := function + "." + param
			found[name] = true
			lower := strings.ToLower(param)
			if strings.HasPrefix(lower, "cookie") || strings.Contains(lower, "offset") {
				continue // 64 bits in C
			}
			if _, ok := calls[name]; !ok && inGo[name] == "" {
				t.Errorf("%s has neither a call nor a reason to have none", name)
			}
		}
	}
	for name := range calls {
		if !found[name] {
			t.Errorf("there is no %s, which has a call", name)
		}
	}
	for name := range inGo {
		if !found[name] {
			t.Errorf("there is no %s, which has a reason", name)
		}
	}
}

// wideNumbers returns the names of the parameters that may have more than 32 bits and, of structs, of their fields.
func wideNumbers(params *ast.FieldList, structs map[string]*ast.StructType) []string {
	var names []string
	for _, param := range params.List {
		fields := []*ast.Field{param}
		if s := structs[typeName(param.Type)]; s != nil {
			fields = s.Fields.List
		}
		for _, field := range fields {
			switch typeName(field.Type) {
			case "int", "int64", "uint", "uint64", "uintptr":
				for _, name := range field.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// typeName returns the name of a type, of what it points to, or of what it is a slice of.
func typeName(kind ast.Expr) string {
	switch kind := kind.(type) {
	case *ast.Ident:
		return kind.Name
	case *ast.StarExpr:
		return typeName(kind.X)
	case *ast.ArrayType:
		return typeName(kind.Elt)
	}
	return ""
}
