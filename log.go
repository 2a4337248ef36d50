package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/cgo"
	"strings"
	"sync"
	"sync/atomic"
)

// The levels of libbpf's messages, as passed to [Callbacks].
const (
	LibbpfWarnLevel  = int(C.LIBBPF_WARN)
	LibbpfInfoLevel  = int(C.LIBBPF_INFO)
	LibbpfDebugLevel = int(C.LIBBPF_DEBUG)
)

// noLevel is lower than every level: no message is wanted.
const noLevel = -1

// Callbacks receive libbpf's messages. They are called on the goroutine that is in a call of libbpf, possibly on
// several goroutines at once. They must not call methods of the module that the call is for. If one panics, the call
// returns an error.
type Callbacks struct {
	// Log receives each message of every level, including its line feed. If it is nil, warnings are printed to stderr,
	// as by default.
	Log func(level int, msg string)

	// LogFilters are called before Log. If one returns true, the message is dropped.
	LogFilters []func(libLevel int, msg string) bool
}

// SetLoggerCbs sets the receiver of libbpf's messages, for the whole process. It may be called at any time, from any
// goroutine.
//
// Implements: libbpf_set_print
func SetLoggerCbs(cbs Callbacks) {
	s := defaultSink()
	if cbs.Log != nil {
		s = &sink{log: cbs.Log, level: LibbpfDebugLevel}
	}
	s.filters = cbs.LogFilters
	setSink(s)
}

// SetLogger sends libbpf's messages to logger, for the whole process: warnings as [slog.LevelWarn], information as
// [slog.LevelInfo], debug messages as [slog.LevelDebug]. A nil logger restores the default: warnings are printed to
// stderr, or the levels that the environment variable LIBBPF_LOG_LEVEL (warn, info or debug) selects.
//
// SetLogger asks logger once which levels are enabled. Messages of other levels are dropped before they reach Go.
func SetLogger(logger *slog.Logger) {
	if logger == nil {
		setSink(defaultSink())
		return
	}
	ctx := context.Background()
	levels := []slog.Level{LibbpfWarnLevel: slog.LevelWarn, LibbpfInfoLevel: slog.LevelInfo, LibbpfDebugLevel: slog.LevelDebug}
	s := &sink{level: noLevel}
	for level, l := range levels {
		if logger.Enabled(ctx, l) {
			s.level = level
		}
	}
	s.log = func(level int, msg string) {
		logger.Log(ctx, levels[level], plainMessage(msg))
	}
	setSink(s)
}

// A sink receives libbpf's messages.
type sink struct {
	log     func(level int, msg string)
	filters []func(level int, msg string) bool
	// level is the highest level that is wanted.
	level int
	// quiet is true if warnings that become part of an error are not logged.
	quiet bool
}

func (s *sink) emit(level int, msg string) {
	if level > s.level {
		return
	}
	for _, drop := range s.filters {
		if drop != nil && drop(level, msg) {
			return
		}
	}
	s.log(level, msg)
}

// defaultSink returns a sink that prints to stderr the levels that LIBBPF_LOG_LEVEL selects, or warnings if it is
// unset.
func defaultSink() *sink {
	s := &sink{
		log:   func(_ int, msg string) { fmt.Fprint(os.Stderr, msg) },
		level: LibbpfWarnLevel,
	}
	switch strings.ToLower(os.Getenv("LIBBPF_LOG_LEVEL")) {
	case "debug":
		s.level = LibbpfDebugLevel
	case "info":
		s.level = LibbpfInfoLevel
	case "warn":
	default:
		s.quiet = true
	}
	return s
}

var (
	logMutex sync.Mutex // protects the setting of sink and level together
	logSink  atomic.Pointer[sink]
)

func setSink(s *sink) {
	logMutex.Lock()
	defer logMutex.Unlock()
	useSink(s)
}

func useSink(s *sink) {
	logSink.Store(s)
	C.golibbpf_log_set_level(C.int(s.level))
	C.golibbpf_log_install()
}

// currentSink returns the present sink. Its first call installs the default one: before a call that may print,
// libbpf's global state isn't touched.
func currentSink() *sink {
	if s := logSink.Load(); s != nil {
		return s
	}
	logMutex.Lock()
	defer logMutex.Unlock()
	if logSink.Load() == nil {
		useSink(defaultSink())
	}
	return logSink.Load()
}

// golibbpf_log is called by C for each message that isn't dropped by level.
//
//export golibbpf_log
func golibbpf_log(watcher C.uintptr_t, level C.int, message *C.char, size C.int) {
	var w *watch
	defer func() {
		// A panic must not unwind through libbpf.
		if r := recover(); r != nil {
			if w == nil {
				fmt.Fprintf(os.Stderr, "libbpfgo: log callback panicked: %v\n", r)
				return
			}
			w.panicked = r
		}
	}()

	s := logSink.Load()
	msg := C.GoStringN(message, size)
	if watcher != 0 {
		w = cgo.Handle(watcher).Value().(*watch)
		if int(level) == LibbpfWarnLevel {
			w.warnings = append(w.warnings, msg)
			if s.quiet {
				return
			}
		}
	}
	s.emit(int(level), msg)
}

// plainMessage returns msg without libbpf's prefix and the line feed.
func plainMessage(msg string) string {
	return strings.TrimSpace(strings.TrimPrefix(msg, "libbpf: "))
}
