package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/cgo"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// How libbpf is called.
//
// A method that calls libbpf has four parts. An example, shortened:
//
//	func (p *BPFProg) SetExpectedAttachType(attachType BPFAttachType) error {
//		what := fmt.Sprintf("set attach type of program %q to %v", p.Name(), attachType)
//		return p.in().change(what, func() error {
//			return codeOf(C.bpf_program__set_expected_attach_type(p.c, C.enum_bpf_attach_type(attachType)))
//		})
//	}
//
//   - in returns the owner of the C memory. For a nil or zero handle it returns an owner that is closed, so
//     methods need no check for nil.
//   - The owner's guard keeps the C memory from being freed during the call. use and get are for shared calls: several
//     may run at the same time. change is for exclusive calls: no other call on the same owner runs meanwhile. Once
//     the owner is closed, use and change return os.ErrClosed, and get returns the zero value.
//   - codeOf turns a negative result of libbpf into a Go error. pointerError does so for a function that
//     returned NULL: it takes errno, which is cgo's second result and is read in the statement that calls C.
//   - The string what names the operation and its object. failed puts it before an error. watched, which change uses,
//     also adds the warnings that libbpf printed during the call. It is for calls that may print: open, load, attach,
//     create.
//
// C receives the user's memory as a *C.char, never as an unsafe.Pointer: for an unsafe.Pointer, cgo checks the
// whole allocation and panics if it contains a Go pointer. cString copies a string; the caller frees the copy.
// options makes libbpf's option structs.

// A guard keeps C memory or file descriptors open while calls use them: a call holds the guard's mutex, so
// closing waits for the call. A closed guard refuses calls with os.ErrClosed, and so does a nil one.
//
// The order of locks: a goroutine that has locked one of these takes only locks that come later in the list.
//
//  1. the guard of an object or a BPFMapLow; TcHook.mutex
//  2. the guard of a link or of a user ring
//  3. feeder.mutex and RingBuffer.mutex; userRing.sending, producing and openMutex
//  4. reader.reading; then unread.consuming and unread.mutex
//  5. the guard of a reader; then reader.state
//  6. object.childMutex, linkedModules, cpuHotplug.mutex, perfEvents.mutex, logMutex, under which no other lock is
//     taken
//
// [object.close] closes the object's children without holding a lock of the object.
type guard struct {
	mutex  sync.RWMutex
	closed bool
}

// enter starts a shared call. If it returns nil, the caller must call exit after the call.
func (g *guard) enter() error {
	if g == nil {
		return os.ErrClosed
	}
	g.mutex.RLock()
	if g.closed {
		g.mutex.RUnlock()
		return os.ErrClosed
	}
	return nil
}

func (g *guard) exit() { g.mutex.RUnlock() }

// lock starts an exclusive call. If it returns nil, the caller must call unlock after the call.
func (g *guard) lock() error {
	if g == nil {
		return os.ErrClosed
	}
	g.mutex.Lock()
	if g.closed {
		g.mutex.Unlock()
		return os.ErrClosed
	}
	return nil
}

func (g *guard) unlock() { g.mutex.Unlock() }

// use runs call as a shared call. The string what names the operation in the error.
func (g *guard) use(what string, call func() error) error {
	if err := g.enter(); err != nil {
		return failed(err, what)
	}
	defer g.exit()
	return failed(call(), what)
}

// change runs call, which calls libbpf, as an exclusive call. Its error contains libbpf's warnings.
func (g *guard) change(what string, call func() error) error {
	if err := g.lock(); err != nil {
		return failed(err, what)
	}
	defer g.unlock()
	return watched(what, call)
}

// get returns the result of property, which reads guarded memory, as a shared call. Once the guard is closed, it
// returns the zero value.
func get[T any](g *guard, property func() T) (value T) {
	if g.enter() != nil {
		return value
	}
	defer g.exit()
	return property()
}

// A watch collects the warnings that libbpf prints during one call.
type watch struct {
	warnings []string
	panicked any
}

// watched runs call, which calls libbpf. The error of call is returned with the name of the operation, what, and the
// warnings that libbpf printed. watched is for calls that may print: open, load, attach, create. call must read errno
// itself, because errno is lost when call returns.
func watched(what string, call func() error) error {
	s := currentSink()
	leaveMemlockLimit()
	w := new(watch)
	err := w.run(call)
	if err == nil && s.quiet {
		w.print(s)
	}
	if w.panicked != nil {
		return &opError{what: what, err: fmt.Errorf("log callback panicked: %v", w.panicked)}
	}
	if err != nil {
		return w.explain(what, err)
	}
	return nil
}

func (w *watch) run(call func() error) error {
	handle := cgo.NewHandle(w)
	defer handle.Delete()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before C.struct_golibbpf_watch
	C.golibbpf_watch_begin(&before, C.uintptr_t(handle))
	defer C.golibbpf_watch_end(&before)
	return call()
}

// print logs the warnings of a call that succeeded.
func (w *watch) print(s *sink) {
	defer func() {
		if r := recover(); r != nil {
			w.panicked = r
		}
	}()
	for _, msg := range w.warnings {
		s.emit(LibbpfWarnLevel, msg)
	}
}

// explain returns err with the name of the operation and libbpf's warnings. If these contain a verifier's log,
// it returns a VerifierError, unless the error is transient.
func (w *watch) explain(what string, err error) error {
	e := &opError{what: what, err: err}
	for _, msg := range w.warnings {
		msg = plainMessage(msg)
		if program, log, ok := verifierLog(msg); ok && !transient(err) {
			return &VerifierError{Program: program, Log: log, err: err}
		} else if ok || errors.Is(err, syscall.EPERM) && !countsLockedMemory() && namesLockedMemory(msg) {
			continue
		}
		if len(e.warnings) < maxWarnings {
			e.warnings = append(e.warnings, msg)
		}
	}
	return e
}

// maxWarnings limits how many of libbpf's warnings an error contains. The first ones are closest to the cause.
const maxWarnings = 4

// transient reports whether an error comes from a temporary state (no free descriptors or memory, a signal), so
// that a retry may succeed.
func transient(err error) bool {
	codes := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR}
	return slices.ContainsFunc(codes, func(code error) bool { return errors.Is(err, code) })
}

// namesLockedMemory reports whether a message of libbpf suggests to raise the limit of locked memory. libbpf
// 1.7.0 suggests that after every EPERM, whatever its cause (pr_perm_msg(), bpf_object__probe_loading()).
func namesLockedMemory(msg string) bool {
	return strings.Contains(msg, "ulimit -l") || strings.Contains(msg, "RLIMIT_MEMLOCK")
}

// An opError is a failed operation: its name, its cause, and libbpf's warnings.
type opError struct {
	what     string
	err      error
	warnings []string
}

func (e *opError) Error() string {
	s := e.what + ": " + e.err.Error()
	if len(e.warnings) > 0 {
		s += " (" + strings.Join(e.warnings, "; ") + ")"
	}
	return s
}

func (e *opError) Unwrap() error { return e.err }

// failed returns err with the name of the operation, or nil if err is nil.
func failed(err error, what string) error {
	if err == nil {
		return nil
	}
	return &opError{what: what, err: err}
}

// failedf is failed with a format.
func failedf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return failed(err, fmt.Sprintf(format, args...))
}

// because puts a reason before an error. An empty reason adds nothing.
func because(reason string, err error) error {
	if reason == "" {
		return err
	}
	return fmt.Errorf("%s: %w", reason, err)
}

// codeOf returns the error for a result of libbpf, which is nil unless the result is negative.
func codeOf(result C.int) error {
	if result >= 0 {
		return nil
	}
	return codeError(syscall.Errno(-result))
}

func codeError(errno syscall.Errno) error {
	switch {
	case errno == enotsupp:
		return notSupported{}
	case errno >= C.__LIBBPF_ERRNO__START && errno < C.__LIBBPF_ERRNO__END:
		return LibbpfErrno(errno)
	}
	return errno
}

// pointerError returns the error for a NULL result. err is errno, from cgo's second result, or an error that
// occurred before libbpf was called.
func pointerError(err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return codeError(errno)
	}
	if err != nil {
		return err
	}
	return errors.New("libbpf gave no reason")
}

var errZeroByte = fmt.Errorf("name has a zero byte: %w", syscall.EINVAL)

// cString returns a copy of s for C, which the caller frees by C.free. A string with a zero byte is an error,
// since C would see only the part before it.
func cString(s string) (*C.char, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, errZeroByte
	}
	return C.CString(s), nil
}

// cStringOrNil is cString, but returns nil for the empty string.
func cStringOrNil(s string) (*C.char, error) {
	if s == "" {
		return nil, nil
	}
	return cString(s)
}

// cStrings returns copies for C. The caller frees them by freeStrings, also after an error.
func cStrings(strings []string) (copies []*C.char, err error) {
	for _, s := range strings {
		c, err := cString(s)
		if err != nil {
			return copies, err
		}
		copies = append(copies, c)
	}
	return copies, nil
}

func freeStrings(copies []*C.char) {
	for _, c := range copies {
		C.free(unsafe.Pointer(c))
	}
}

// cInt converts n to a C int. If n doesn't fit, the error is ERANGE, and what names the number in it.
func cInt(n int, what string) (C.int, error) {
	if int(C.int(n)) != n {
		return 0, fmt.Errorf("%s %d: %w", what, n, syscall.ERANGE)
	}
	return C.int(n), nil
}

// cInts converts each number of a list by cInt.
func cInts(list []int, what string) ([]C.int, error) {
	var ints []C.int
	for _, n := range list {
		c, err := cInt(n, what)
		if err != nil {
			return nil, err
		}
		ints = append(ints, c)
	}
	return ints, nil
}

// first returns the address of a slice's first element, or nil if the slice is empty.
func first[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

func firstLong(s []uint64) *C.ulong { return (*C.ulong)(unsafe.Pointer(first(s))) }

// bytesC returns the address of a slice's bytes. It is a *C.char because cgo checks the whole allocation behind
// an unsafe.Pointer, and panics if there is a Go pointer beside the bytes.
func bytesC(b []byte) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b)))
}

// options returns an option struct of libbpf with its size in the first field and all other bytes zero, padding
// included. libbpf refuses a struct in which a byte that it doesn't know is set, and a composite literal leaves
// padding undefined.
func options[T any]() *T {
	size := unsafe.Sizeof(*new(T))
	words := make([]uint64, (size+7)/8)
	words[0] = uint64(size)
	return (*T)(unsafe.Pointer(&words[0]))
}

// needLibbpf returns an error if this package was compiled with a libbpf older than major.minor, the version
// that introduced function.
func needLibbpf(major, minor int, function string) error {
	if C.LIBBPF_MAJOR_VERSION > major || C.LIBBPF_MAJOR_VERSION == major && C.LIBBPF_MINOR_VERSION >= minor {
		return nil
	}
	return &unsupportedError{function: function, major: major, minor: minor}
}

// An unsupportedError names a function that this package's libbpf is too old for.
type unsupportedError struct {
	function     string
	major, minor int
}

func (e *unsupportedError) Error() string {
	return fmt.Sprintf("%s needs libbpf %d.%d, this program was compiled with v%d.%d", e.function, e.major, e.minor,
		C.LIBBPF_MAJOR_VERSION, C.LIBBPF_MINOR_VERSION)
}

func (e *unsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }
