package libbpfgo

import (
	"errors"
	"fmt"
	"go/ast"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// kinds are the exported types that have methods on their pointer.
var kinds = []reflect.Type{
	reflect.TypeFor[BPFLink](), reflect.TypeFor[BPFLinkReader](), reflect.TypeFor[BPFMap](),
	reflect.TypeFor[BPFMapIterator](), reflect.TypeFor[BPFMapLow](), reflect.TypeFor[BPFObjectIterator](),
	reflect.TypeFor[BPFProg](), reflect.TypeFor[Module](), reflect.TypeFor[PerfBuffer](),
	reflect.TypeFor[PerfBufferRaw](), reflect.TypeFor[PerfReader](), reflect.TypeFor[Ring](),
	reflect.TypeFor[RingBufReader](), reflect.TypeFor[RingBuffer](), reflect.TypeFor[Sample](),
	reflect.TypeFor[TcHook](), reflect.TypeFor[UserRingBuffer](), reflect.TypeFor[VerifierError](),
}

// The methods of nil and of the zero value of each exported type return errors, or nothing, as those of what was
// closed do. None panics.
func TestNilAndZeroValues(t *testing.T) {
	tested := make(map[string]bool)
	for _, kind := range kinds {
		tested[kind.Name()] = true
		for name, receiver := range map[string]reflect.Value{"nil": reflect.Zero(reflect.PointerTo(kind)), "zero value": reflect.New(kind)} {
			for i := range receiver.NumMethod() {
				method := receiver.Type().Method(i).Name
				if receiver.IsNil() && promoted(kind, method) {
					continue
				}
				what := fmt.Sprintf("%s.%s of %s", kind.Name(), method, name)
				results, err := callWithZeros(receiver.Method(i))
				if want := wantOfZeros(kind, method, receiver); !errors.Is(err, want) && !olderLibbpf(err) {
					t.Errorf("%s: error is %v, want one that is %v", what, err, want)
				}
				isFD := strings.HasSuffix(method, "FD") || method == "FileDescriptor" || method == "GetFd"
				for _, result := range results {
					switch {
					case result.Kind() == reflect.Int && isFD:
						if result.Int() != -1 {
							t.Errorf("%s: descriptor is %d", what, result.Int())
						}
					case result.IsZero(), result.Type() == reflect.TypeFor[error](), result.Kind() == reflect.Func:
					case result.Kind() == reflect.Slice && result.Len() == 0:
					case kind.Name() == "VerifierError", method == "Iterator", method == "TcHookInit":
					default:
						t.Errorf("%s: result is %v", what, result)
					}
				}
			}
		}
	}
	for _, name := range typesWithPointerMethods(t) {
		if !tested[name] {
			t.Errorf("%s is missing here", name)
		}
	}
}

// wantOfZeros returns the error that is expected of a method of nil or of the zero value, called with zeros:
// os.ErrClosed, unless the method refuses the zeros first; nil for methods that return no error.
func wantOfZeros(kind reflect.Type, method string, receiver reflect.Value) error {
	name := kind.Name() + "." + method
	results := receiver.MethodByName(method).Type()
	fails := results.NumOut() > 0 && results.Out(results.NumOut()-1) == reflect.TypeFor[error]() || strings.HasSuffix(method, "Records")
	switch {
	case !fails, kind == reflect.TypeFor[VerifierError]():
		return nil
	case slices.Contains([]string{"BPFLink.Destroy", "BPFLink.DestroyLegacy"}, name),
		slices.Contains([]string{"Close", "Error", "ReadBatch", "WriteBatch"}, method):
		return nil // there is nothing to close, and nothing to read or write
	case method == "Err" && (kind != reflect.TypeFor[BPFMapIterator]() || !receiver.IsNil()):
		return nil
	case name == "TcHook.SetInterfaceByName" && !receiver.IsNil():
		return syscall.ENODEV // it is a hook that can be set; there is no interface without a name
	case kind == reflect.TypeFor[TcHook](), kind == reflect.TypeFor[Sample](),
		slices.Contains([]string{"UpdateMap", "UpdateProgram", "AddRingBuf", "InitPerfBuf", "InitRingBuf", "InitUserRingBuf", "ReadInto", "Records"}, method),
		slices.Contains([]string{"PerfReader.Consume", "Ring.Consume", "Ring.ConsumeN", "RingBufReader.Consume", "RingBufReader.ConsumeN", "UserRingBuffer.Write"}, name):
		return syscall.EINVAL // a nil argument, and what a sample and a hook are no more or not yet
	}
	return os.ErrClosed
}

// olderLibbpf reports whether an error says that the linked libbpf is too old.
func olderLibbpf(err error) bool {
	older := new(unsupportedError)
	return errors.As(err, &older) && needLibbpf(older.major, older.minor, "") != nil
}

// promoted reports whether a method of BPFMap or BPFMapLow is one of the struct of elements in it. Nil has no such
// struct: by the language, the call panics before the method begins, as the types' comments say.
func promoted(kind reflect.Type, method string) bool {
	_, ofElements := reflect.TypeFor[*elements]().MethodByName(method)
	return ofElements && (kind == reflect.TypeFor[BPFMap]() || kind == reflect.TypeFor[BPFMapLow]())
}

// Nil and zero values are refused where a handle is an argument.
func TestNilAndZeroValuesAsArguments(t *testing.T) {
	h := newHandles(t)
	defer h.low.Close()
	type call struct {
		want error
		call func() error
	}
	calls := map[string][]call{
		"UpdateProgram": {
			{syscall.EINVAL, func() error { return h.link.UpdateProgram(nil) }},
			{os.ErrClosed, func() error { return h.link.UpdateProgram(new(BPFProg)) }},
			{os.ErrClosed, func() error { return new(BPFLink).UpdateProgram(h.prog) }},
		},
		"UpdateMap": {
			{syscall.EINVAL, func() error { return h.link.UpdateMap(nil) }},
			{os.ErrClosed, func() error { return h.link.UpdateMap(new(BPFMap)) }},
			{os.ErrClosed, func() error { return new(BPFLink).UpdateMap(h.bpfMap) }},
		},
		"AddRingBuf": {
			{syscall.EINVAL, func() error { _, err := h.module.AddRingBuf(nil, "events", h.events); return err }},
			{os.ErrClosed, func() error { _, err := h.module.AddRingBuf(new(RingBuffer), "events", h.events); return err }},
			{os.ErrClosed, func() error { _, err := new(Module).AddRingBuf(h.buffer, "events", h.events); return err }},
		},
		"NewRingBufReader": {
			{syscall.EINVAL, func() error { _, err := NewRingBufReader(nil); return err }},
			{os.ErrClosed, func() error { _, err := NewRingBufReader(getMap(t, h.module, "events"), new(BPFMap)); return err }},
		},
		"NewPerfReader": {
			{syscall.EINVAL, func() error { _, err := NewPerfReader(nil, PerfReaderOptions{}); return err }},
			{os.ErrClosed, func() error { _, err := NewPerfReader(new(BPFMap), PerfReaderOptions{}); return err }},
		},
		"NewPerfBufferRaw": {
			{syscall.EINVAL, func() error { return newRawBuffer(nil) }},
			{os.ErrClosed, func() error { return newRawBuffer(new(BPFMap)) }},
		},
		"NewUserRingBuffer": {
			{syscall.EINVAL, func() error { _, err := NewUserRingBuffer(nil); return err }},
			{os.ErrClosed, func() error { _, err := NewUserRingBuffer(new(BPFMap)); return err }},
		},
	}
	for name, list := range calls {
		for i, call := range list {
			_, err := callWithZeros(reflect.ValueOf(call.call))
			if !errors.Is(err, call.want) && !olderLibbpf(err) {
				t.Errorf("%s, call %d: error is %v, want one that is %v", name, i, err, call.want)
			}
		}
	}
	for _, name := range functionsOfHandles(t) {
		if calls[name] == nil {
			t.Errorf("%s is missing here", name)
		}
	}
}

func newRawBuffer(bpfMap *BPFMap) error {
	_, err := NewPerfBufferRaw(bpfMap, PerfBufferRawOptions{Pages: 1, Attr: *bpfOutput(1)}, func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
	return err
}

// A panicError is what a method has panicked with.
type panicError struct{ reason any }

func (e panicError) Error() string { return fmt.Sprint("panic: ", e.reason) }

// callWithZeros calls a method, and goes through the sequence that it may return. It returns the results, and the
// first error among them.
func callWithZeros(method reflect.Value) (results []reflect.Value, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = panicError{reason}
		}
	}()
	var args []reflect.Value
	for i := range method.Type().NumIn() {
		if i == method.Type().NumIn()-1 && method.Type().IsVariadic() {
			break
		}
		args = append(args, reflect.Zero(method.Type().In(i)))
	}
	results = method.Call(args)
	if len(results) == 1 && results[0].Type().CanSeq2() && results[0].Kind() == reflect.Func {
		for _, second := range results[0].Seq2() {
			results = append(results, second)
		}
	}
	for _, result := range results {
		if err, ok := result.Interface().(error); ok {
			return results, err
		}
	}
	return results, nil
}

// typesWithPointerMethods returns the exported types that have exported methods on their pointer.
func typesWithPointerMethods(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range packageFiles(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			if pointer, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
				if name, ok := pointer.X.(*ast.Ident); ok && name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// functionsOfHandles returns the exported functions and methods that have a parameter of one of the kinds.
func functionsOfHandles(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range packageFiles(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			for _, param := range f.Type.Params.List {
				typ := param.Type
				if list, ok := typ.(*ast.Ellipsis); ok {
					typ = list.Elt
				}
				pointer, ok := typ.(*ast.StarExpr)
				if !ok {
					continue
				}
				name, ok := pointer.X.(*ast.Ident)
				if ok && slices.ContainsFunc(kinds, func(kind reflect.Type) bool { return kind.Name() == name.Name }) {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	return names
}
