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

// Levels of libbpf's messages, as [Callbacks] get them.
const (
	LibbpfWarnLevel  = int(C.LIBBPF_WARN)
	LibbpfInfoLevel  = int(C.LIBBPF_INFO)
	LibbpfDebugLevel = int(C.LIBBPF_DEBUG)
)

// noLevel is below every level.
const noLevel = -1

// Callbacks get libbpf's messages. They are called on the goroutine whose call libbpf is busy
// with, perhaps on several at once, and must not call methods of the module that this call is
// for. One that panics makes that call return an error.
type Callbacks struct {
	// Log gets each message, of every level, with its line feed. If nil, warnings are printed
	// to stderr, as they are by default.
	Log func(level int, msg string)

	// LogFilters are asked before Log. A message is dropped as soon as one returns true.
	LogFilters []func(libLevel int, msg string) bool
}

// SetLoggerCbs sends libbpf's messages to cbs, for the whole process, instead of where they went
// before. It may be called at any time, from any goroutine.
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

// SetLogger sends libbpf's messages to logger, for the whole process: its warnings as
// [slog.LevelWarn], what it informs of as [slog.LevelInfo], its debug messages as
// [slog.LevelDebug]. A nil logger brings back the default: warnings go to stderr, or what the
// environment variable LIBBPF_LOG_LEVEL (warn, info or debug) asks for.
//
// Which levels logger wants is asked here and not again: what it doesn't want now is dropped
// before it reaches Go.
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

// A sink is where libbpf's messages go.
type sink struct {
	log     func(level int, msg string)
	filters []func(level int, msg string) bool
	// level is the highest that is wanted.
	level int
	// quiet means that warnings which an error carries are not logged as well.
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

// defaultSink prints to stderr what LIBBPF_LOG_LEVEL asks for, which is warnings if it is unset.
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
	logMutex sync.Mutex // orders the setting of sink and level
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

// currentSink returns where messages go. Before the first call that may give any, nothing of
// libbpf's global state is touched.
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

// golibbpf_log is called by C for each message that may be wanted.
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

// plainMessage returns msg without libbpf's prefix and without the line feed.
func plainMessage(msg string) string {
	return strings.TrimSpace(strings.TrimPrefix(msg, "libbpf: "))
}
