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
// A method that calls libbpf has four parts:
//
//	func (p *BPFProg) SetExpectedAttachType(attachType BPFAttachType) error {
//		what := fmt.Sprintf("set attach type of program %q to %v", p.Name(), attachType)
//		return p.in().change(what, func() error {
//			return codeOf(C.bpf_program__set_expected_attach_type(p.c, C.enum_bpf_attach_type(attachType)))
//		})
//	}
//
//   - in returns the owner of the C memory. That of a nil or zero handle is closed, so no method needs to look for nil.
//   - The owner's guard keeps the C memory while the call uses it: use and get run a call beside others, change runs
//     it alone. Once the owner is closed, they return os.ErrClosed, and get the zero value.
//   - codeOf and pointerError make a Go error of libbpf's result. pointerError takes cgo's second result, errno: it is
//     valid on the same thread only, so it is taken where the C function is called.
//   - what names the operation and its object. failed puts it before an error. watched, which change uses, also adds
//     what libbpf printed meanwhile; it is for calls that print: those that open, load, attach, create.
//
// C is given a *C.char, a number or a struct without Go pointers, never an unsafe.Pointer: cgo would look for Go
// pointers in everything around it. Strings are copied (cString) and freed. Option structs are made by options.

// A guard keeps what it guards open while calls use it: C memory, file descriptors. A nil guard admits no call.
//
// Locks are taken in this order, and a lock of a later line is never held while one of an earlier line is taken:
//
//  1. the guard of an object or a BPFMapLow; TcHook.mutex
//  2. the guard of a link or of a user ring
//  3. feeder.mutex and RingBuffer.mutex; userRing.sending, producing and samples
//  4. reader.reading; then unread.consuming and unread.mutex
//  5. the guard of a reader; then reader.state
//  6. object.childMutex, atWork, cpuHotplug.mutex, perfEvents.mutex, logMutex: no call is made under them
//
// What closes a child of an object ([object.close]) holds no lock of the object's.
type guard struct {
	mutex  sync.RWMutex
	closed bool
}

// enter admits a call that may run beside others. If it returns nil, exit must be called.
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

// lock admits a call that must run alone. If it returns nil, unlock must be called.
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

// use runs a call beside others.
func (g *guard) use(what string, call func() error) error {
	if err := g.enter(); err != nil {
		return failed(err, what)
	}
	defer g.exit()
	return failed(call(), what)
}

// change runs a call of libbpf's alone, and returns its error with libbpf's warnings.
func (g *guard) change(what string, call func() error) error {
	if err := g.lock(); err != nil {
		return failed(err, what)
	}
	defer g.unlock()
	return watched(what, call)
}

// get returns a property of what a guard guards; the zero value once that is closed.
func get[T any](g *guard, property func() T) (value T) {
	if g.enter() != nil {
		return value
	}
	defer g.exit()
	return property()
}

// A watch gathers what libbpf has to say during one call.
type watch struct {
	warnings []string
	panicked any
}

// watched runs call, which calls libbpf, and returns its error with the name of what was done and
// with libbpf's warnings. It is for calls that may print: those that open, load, attach, create.
// The errno of a C call is only valid inside of call.
func watched(what string, call func() error) error {
	s := currentSink()
	leaveLockedMemory()
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

// print logs the warnings of a call that has worked.
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

// explain returns err with what was done and what libbpf said meanwhile.
func (w *watch) explain(what string, err error) error {
	e := &opError{what: what, err: err}
	for _, msg := range w.warnings {
		msg = plainMessage(msg)
		if program, log, ok := verifierLog(msg); ok && !momentary(err) {
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

// maxWarnings is how many of libbpf's remarks an error repeats. The first ones are nearest to the
// cause.
const maxWarnings = 4

// momentary reports whether an error of the kernel's is due to the moment: it may not come again.
func momentary(err error) bool {
	codes := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR}
	return slices.ContainsFunc(codes, func(code error) bool { return errors.Is(err, code) })
}

// namesLockedMemory reports whether a message of libbpf's suggests that the limit of locked memory is too low, which it
// does for each EPERM (pr_perm_msg(), bpf_object__probe_loading() of 1.7.0).
func namesLockedMemory(msg string) bool {
	return strings.Contains(msg, "ulimit -l") || strings.Contains(msg, "RLIMIT_MEMLOCK")
}

// An opError says what failed, why, and what libbpf remarked.
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

// failed returns err with the name of what was done; nil if err is nil.
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

// What this file adds to an error is asked for after the kernel or libbpf has refused something: nothing is refused by it.

// because puts the reason before an error, if there is one.
func because(reason string, err error) error {
	if reason == "" {
		return err
	}
	return fmt.Errorf("%s: %w", reason, err)
}

// codeOf returns the error that a result of libbpf's stands for: nil unless it is negative.
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

// pointerError returns the reason why libbpf returned no pointer, from cgo's second result, or what
// went wrong before libbpf was asked.
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

// cString returns a copy of s for C, to be freed by C.free, unless C would see only a part of it.
func cString(s string) (*C.char, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, errZeroByte
	}
	return C.CString(s), nil
}

// cStringOrNil is cString, except that the empty string is nil.
func cStringOrNil(s string) (*C.char, error) {
	if s == "" {
		return nil, nil
	}
	return cString(s)
}

// cStrings returns copies for C, to be freed by freeStrings, also if there is an error.
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

// cInt returns n as C's int; ERANGE, with what n is, if it is too large for that.
func cInt(n int, what string) (C.int, error) {
	if int(C.int(n)) != n {
		return 0, fmt.Errorf("%s %d: %w", what, n, syscall.ERANGE)
	}
	return C.int(n), nil
}

// cInts is cInt for each number of a list.
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

// first returns the address of a slice's elements; nil if it has none.
func first[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

func firstLong(s []uint64) *C.ulong { return (*C.ulong)(unsafe.Pointer(first(s))) }

// bytesC returns the address of a slice's bytes. C is given *C.char throughout: cgo takes an unsafe.Pointer for one
// to anything, and panics at a Go pointer that is in the same allocation as the bytes.
func bytesC(b []byte) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b)))
}

// options returns an option struct of libbpf's with its size in the first field and every other byte zero. libbpf
// refuses a struct in which a byte that it doesn't know is set, padding included, and a composite literal may leave
// anything in padding.
func options[T any]() *T {
	size := unsafe.Sizeof(*new(T))
	words := make([]uint64, (size+7)/8)
	words[0] = uint64(size)
	return (*T)(unsafe.Pointer(&words[0]))
}

// needLibbpf returns an error if the libbpf that this package was compiled with is older than the
// one that brought function.
func needLibbpf(major, minor int, function string) error {
	if C.LIBBPF_MAJOR_VERSION > major || C.LIBBPF_MAJOR_VERSION == major && C.LIBBPF_MINOR_VERSION >= minor {
		return nil
	}
	return &unsupportedError{function: function, major: major, minor: minor}
}

// An unsupportedError names a function that the libbpf at hand doesn't have.
type unsupportedError struct {
	function     string
	major, minor int
}

func (e *unsupportedError) Error() string {
	return fmt.Sprintf("%s needs libbpf %d.%d, this program was compiled with v%d.%d", e.function, e.major, e.minor,
		C.LIBBPF_MAJOR_VERSION, C.LIBBPF_MINOR_VERSION)
}

func (e *unsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }
