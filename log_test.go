package libbpfgo

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// chatter makes libbpf print debug messages and a warning: it opens an object without BTF, and a
// good one.
func chatter(t testing.TB) error {
	t.Helper()
	image := readFile(t, mainObject)
	if m, err := NewModuleFromBuffer(image, "good"); err != nil {
		t.Fatal(err)
	} else {
		m.Close()
	}
	m, err := NewModuleFromBuffer(bytes.ReplaceAll(image, []byte(".BTF"), []byte(".XTF")), "bad")
	if err == nil {
		m.Close()
		t.Fatal("an object without BTF was opened")
	}
	return err
}

func defaultLog(t testing.TB) { t.Cleanup(func() { SetLogger(nil) }) }

func TestLoggerCallbacks(t *testing.T) {
	defaultLog(t)
	levels := make(map[int]int)
	filtered := 0
	SetLoggerCbs(Callbacks{
		Log: func(level int, msg string) {
			levels[level]++
			if !strings.HasPrefix(msg, "libbpf: ") || !strings.HasSuffix(msg, "\n") {
				t.Errorf("message is %q", msg)
			}
			if strings.Contains(msg, "license") {
				t.Errorf("message %q should have been dropped", msg)
			}
		},
		LogFilters: []func(int, string) bool{
			nil,
			func(_ int, msg string) bool {
				drop := strings.Contains(msg, "license")
				if drop {
					filtered++
				}
				return drop
			},
		},
	})
	wantErr(t, chatter(t), syscall.ENOENT, "BTF is required")
	if levels[LibbpfWarnLevel] == 0 || levels[LibbpfDebugLevel] == 0 || filtered == 0 {
		t.Errorf("messages by level: %v, dropped by the filter: %d", levels, filtered)
	}
	SetLoggerCbs(Callbacks{Log: func(int, string) { t.Error("a replaced callback is called") }})
	SetLoggerCbs(Callbacks{}) // as the default
	levels = make(map[int]int)
	_ = chatter(t)
	if len(levels) > 0 {
		t.Errorf("messages by level: %v", levels)
	}
}

const infoObject = "testdata/info.bpf.o"

// What libbpf informs of is between its warnings and its debug messages.
func TestInformation(t *testing.T) {
	defaultLog(t)
	open := func() {
		m, err := NewModuleFromFile(infoObject)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
	if isChild(t.Name()) {
		open()
		return
	}

	levels := make(map[int]int)
	SetLoggerCbs(Callbacks{Log: func(level int, msg string) {
		if strings.Contains(msg, "nobodys_section") {
			levels[level]++
		}
	}})
	open()
	if levels[LibbpfInfoLevel] != 1 || levels[LibbpfWarnLevel] != 0 {
		t.Errorf("messages by level: %v", levels)
	}

	const message = "skipping unrecognized data section"
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: true, slog.LevelWarn: false} {
		var out bytes.Buffer
		SetLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		open()
		if got := strings.Contains(out.String(), `level=INFO msg="elf: `+message); got != want {
			t.Errorf("logger of level %v has\n%s", level, out.String())
		}
	}

	for env, want := range map[string]bool{"": false, "warn": false, "info": true, "debug": true} {
		if stderr := inChild(t, t.Name(), "LIBBPF_LOG_LEVEL="+env); strings.Contains(stderr, message) != want {
			t.Errorf("LIBBPF_LOG_LEVEL=%s prints\n%s", env, stderr)
		}
	}
}

func TestKernelLogLevel(t *testing.T) {
	needBPF(t)
	defaultLog(t)
	for level, want := range map[uint32]bool{0: false, 1: true} {
		var log string
		SetLoggerCbs(Callbacks{Log: func(level int, msg string) {
			if level == LibbpfDebugLevel && strings.Contains(msg, "prog 'nothing': -- BEGIN PROG LOAD LOG --") {
				log = msg
			}
		}})
		m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: "testdata/warns.bpf.o", KernelLogLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.BPFLoadObject(); err != nil {
			t.Error(err)
		}
		m.Close()
		if strings.Contains(log, "processed ") != want {
			t.Errorf("level %d: the log is %q", level, log)
		}
	}
}

func TestSlogLogger(t *testing.T) {
	defaultLog(t)
	for level, wants := range map[slog.Level]map[string]bool{
		slog.LevelDebug: {"DEBUG": true, "WARN": true},
		slog.LevelInfo:  {"DEBUG": false, "WARN": true},
		slog.LevelWarn:  {"DEBUG": false, "WARN": true},
		slog.LevelError: {"DEBUG": false, "WARN": false},
	} {
		var out bytes.Buffer
		SetLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		_ = chatter(t)
		for name, want := range wants {
			if got := strings.Contains(out.String(), "level="+name); got != want {
				t.Errorf("logger of level %v: %s in the output is %v", level, name, got)
			}
		}
		if strings.Contains(out.String(), "libbpf: ") || strings.Contains(out.String(), `\n"`) {
			t.Errorf("a message has libbpf's prefix or line feed: %s", out.String())
		}
	}
}

// A message that nobody wants doesn't reach Go.
func TestUnwantedMessagesAreDroppedInC(t *testing.T) {
	defaultLog(t)
	reached := 0
	log := func(level int) *sink {
		return &sink{level: level, log: func(int, string) {}, filters: []func(int, string) bool{func(int, string) bool { reached++; return true }}}
	}
	for level, want := range map[int]bool{LibbpfDebugLevel: true, LibbpfInfoLevel: false, noLevel: false} {
		setSink(log(level))
		logSink.Store(log(LibbpfDebugLevel)) // Go would take everything, C has the level
		reached = 0
		if m, err := NewModuleFromFile(mainObject); err == nil {
			m.Close()
		}
		if (reached > 0) != want {
			t.Errorf("level %d: %d messages reached Go", level, reached)
		}
	}
}

func TestDefaultLog(t *testing.T) {
	if isChild(t.Name()) {
		_ = chatter(t)
		return
	}
	for env, test := range map[string]struct{ warn, debug bool }{
		"LIBBPF_LOG_LEVEL=":      {false, false}, // the error carries the warning
		"LIBBPF_LOG_LEVEL=warn":  {true, false},
		"LIBBPF_LOG_LEVEL=info":  {true, false},
		"LIBBPF_LOG_LEVEL=DEBUG": {true, true},
	} {
		stderr := inChild(t, t.Name(), env)
		if strings.Contains(stderr, "BTF is required") != test.warn || strings.Contains(stderr, "license") != test.debug {
			t.Errorf("%s prints\n%s", env, stderr)
		}
		if !test.warn && !test.debug && stderr != "" {
			t.Errorf("%s prints\n%s", env, stderr)
		}
	}
}

// A warning of a call that works is in no error: it is printed.
func TestWarningOfASuccessIsPrinted(t *testing.T) {
	needBPF(t)
	if !isChild(t.Name()) {
		stderr := inChild(t, t.Name(), "LIBBPF_LOG_LEVEL=")
		if n := strings.Count(stderr, "half_typed"); n != 1 {
			t.Errorf("the warning is printed %d times: %q", n, stderr)
		}
		return
	}
	m, err := NewModuleFromFile("testdata/warns.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
}

func TestPanickingCallback(t *testing.T) {
	defaultLog(t)
	leaksNothing(t, func() {
		var calls atomic.Int32
		SetLoggerCbs(Callbacks{Log: func(int, string) { calls.Add(1); panic("oh no") }})
		m, err := NewModuleFromFile(mainObject)
		if err == nil {
			m.Close()
			t.Fatal("no error")
		}
		wantErr(t, err, err, "open object", "log callback panicked: oh no")
		SetLogger(nil)
		good := loadMain(t)
		SetLoggerCbs(Callbacks{Log: func(int, string) { panic(errors.New("oh no")) }})
		_, err = getProgram(t, good, "count").AttachRawTracepoint("nothing")
		wantErr(t, err, err, "attach program", "oh no")
		good.Close()
	})
}

// A filter is the user's function as the callback is, also where the default prints after the call.
func TestPanickingFilter(t *testing.T) {
	needBPF(t)
	defaultLog(t)
	for _, level := range []string{"", "warn"} {
		t.Setenv("LIBBPF_LOG_LEVEL", level)
		leaksNothing(t, func() {
			SetLogger(nil)
			m, err := NewModuleFromFile("testdata/warns.bpf.o")
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			SetLoggerCbs(Callbacks{LogFilters: []func(int, string) bool{func(int, string) bool { panic("oh no") }}})
			err = recovered(m.BPFLoadObject)
			if err == nil || !strings.Contains(err.Error(), "log callback panicked: oh no") {
				t.Errorf("LIBBPF_LOG_LEVEL=%s: error is %v", level, err)
			}
		})
	}
}

func TestLogFromManyGoroutines(t *testing.T) {
	defaultLog(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 10 {
				switch i {
				case 0:
					SetLoggerCbs(Callbacks{Log: func(int, string) {}})
				case 1:
					SetLogger(slog.New(slog.DiscardHandler))
				default:
					// Each call's error has its own warnings, whoever logs.
					wantErr(t, chatter(t), syscall.ENOENT, "BTF is required")
				}
			}
		}()
	}
	all.Wait()
}

// After a call, its thread takes the signals that it took before.
func TestWatchedCallReleasesSignals(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mask := func() (set unix.Sigset_t) {
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &set); err != nil {
			t.Fatal(err)
		}
		return set
	}
	before := mask()
	var during unix.Sigset_t
	if err := watched("call", func() error { during = mask(); return nil }); err != nil {
		t.Error(err)
	}
	if after := mask(); after != before || during == before {
		t.Errorf("signals that are blocked: %x before, %x during, %x after the call", before.Val, during.Val, after.Val)
	}
}

// Messages are assigned to a call by the thread, so a call whose messages are collected stays on its thread.
func TestWatchedCallStaysOnItsThread(t *testing.T) {
	err := watched("call", func() error {
		thread := unix.Gettid()
		for range 100 {
			waiting, looked := make(chan struct{}), make(chan struct{})
			go func() {
				// If the call's thread were free while it waits, this would take it.
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				close(waiting)
				<-looked
			}()
			<-waiting
			now := unix.Gettid()
			close(looked)
			if now != thread {
				return errors.New("it has moved to another thread")
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// libbpf keeps errno while it prints, whatever the user's function does.
func TestCallbackKeepsErrno(t *testing.T) {
	defaultLog(t)
	m := loadMain(t)
	link := filepath.Join(t.TempDir(), "dangling")
	if err := os.Symlink("/nothing/here", link); err != nil {
		t.Fatal(err)
	}
	for name, cbs := range map[string]func(failing func()) Callbacks{
		"log": func(failing func()) Callbacks { return Callbacks{Log: func(int, string) { failing() }} },
		"filter": func(failing func()) Callbacks {
			return Callbacks{LogFilters: []func(int, string) bool{func(int, string) bool { failing(); return true }}}
		},
	} {
		called := 0
		SetLoggerCbs(cbs(func() {
			called++
			_, err := GetMapInfoByFD(-1)
			wantErr(t, err, syscall.EBADFD)
		}))
		// libbpf prints that it can't look at the folder.
		wantErr(t, getMap(t, m, "numbers").Pin(filepath.Join(link, "pin")), syscall.ENOENT, "numbers")
		if called == 0 && name == "log" {
			t.Errorf("the %s was not called", name)
		}
	}
}
