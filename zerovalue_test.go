package libbpfgo

import (
	"errors"
	"fmt"
	"go/ast"
	"os"
	"reflect"
	"slices"
	"syscall"
	"testing"
)

// notYet are types of which methods of nil or of the zero value still panic.
var notYet = []string{
	"BPFLink", "BPFMap", "BPFMapIterator", "BPFMapLow", "BPFObjectIterator", "BPFProg", "Module", "TcHook",
	"VerifierError",
}

// The methods of nil and of the zero value of each exported type return errors, or nothing, as those of what was
// closed do. None panics.
func TestNilAndZeroValues(t *testing.T) {
	tested := make(map[string]bool)
	for _, kind := range []reflect.Type{
		reflect.TypeFor[BPFLink](), reflect.TypeFor[BPFLinkReader](), reflect.TypeFor[BPFMap](),
		reflect.TypeFor[BPFMapIterator](), reflect.TypeFor[BPFMapLow](), reflect.TypeFor[BPFObjectIterator](),
		reflect.TypeFor[BPFProg](), reflect.TypeFor[Module](), reflect.TypeFor[PerfBuffer](),
		reflect.TypeFor[PerfBufferRaw](), reflect.TypeFor[PerfReader](), reflect.TypeFor[Ring](),
		reflect.TypeFor[RingBufReader](), reflect.TypeFor[RingBuffer](), reflect.TypeFor[Sample](),
		reflect.TypeFor[TcHook](), reflect.TypeFor[UserRingBuffer](), reflect.TypeFor[VerifierError](),
	} {
		tested[kind.Name()] = true
		panics := 0
		for name, receiver := range map[string]reflect.Value{"nil": reflect.Zero(reflect.PointerTo(kind)), "zero value": reflect.New(kind)} {
			for i := range receiver.NumMethod() {
				method := receiver.Type().Method(i).Name
				what := fmt.Sprintf("%s.%s of %s", kind.Name(), method, name)
				err := callWithZeros(receiver.Method(i))
				var panicked panicError
				switch {
				case errors.As(err, &panicked):
					if panics++; !slices.Contains(notYet, kind.Name()) {
						t.Errorf("%s: %v", what, err)
					}
				case slices.Contains(notYet, kind.Name()):
				case err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported):
					t.Errorf("%s: error is %v", what, err)
				}
			}
		}
		if panics == 0 && slices.Contains(notYet, kind.Name()) {
			t.Logf("%s needn't be in notYet any more", kind.Name())
		}
	}
	for _, name := range typesWithPointerMethods(t) {
		if !tested[name] {
			t.Errorf("%s is missing here", name)
		}
	}
}

// A panicError is what a method has panicked with.
type panicError struct{ reason any }

func (e panicError) Error() string { return fmt.Sprint("panic: ", e.reason) }

// callWithZeros calls a method, and goes through the sequence that it may return. It returns the first error
// among the results.
func callWithZeros(method reflect.Value) (err error) {
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
	results := method.Call(args)
	if len(results) == 1 && results[0].Type().CanSeq2() && results[0].Kind() == reflect.Func {
		for _, second := range results[0].Seq2() {
			results = append(results, second)
		}
	}
	for _, result := range results {
		if err, ok := result.Interface().(error); ok {
			return err
		}
	}
	return nil
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
