package libbpfgo

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestAttachPerfEvent(t *testing.T) {
	runtime.LockOSThread() // whose event it is
	defer runtime.UnlockOSThread()
	m := loadAttach(t, "on_perf_event")
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: 100_000, // nanoseconds
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	link, err := getProgram(t, m, "on_perf_event").AttachPerfEvent(fd)
	if err != nil {
		unix.Close(fd)
	}
	limit := 10 * time.Second // for an emulated machine, whose timers come late
	wantCalls(t, m, callsPerfEvent, link, err, func() {
		before := calls(t, m, callsPerfEvent)
		for begin := time.Now(); time.Since(begin) < limit && calls(t, m, callsPerfEvent) == before; {
		}
		limit = 20 * time.Millisecond // after Destroy: 200 samples of this thread, if it isn't held up
	})
	_, err = getProgram(t, m, "on_perf_event").AttachPerfEvent(-1)
	wantErr(t, err, syscall.EINVAL, "on_perf_event")
}

func TestAttachIter(t *testing.T) {
	m, err := tryLoadAttach(t, "on_element")
	skipUnverified(t, err)
	prog := getProgram(t, m, "on_element")
	fd := getMap(t, m, "calls").FileDescriptor()
	link, err := prog.AttachIter(IterOpts{MapFd: fd})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := link.Reader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := io.ReadAll(reader); err != nil {
		t.Error(err)
	}
	if n := calls(t, m, callsIter); n != callsKeys {
		t.Errorf("the iterator saw %d elements, want %d", n, callsKeys)
	}
	_, err = prog.AttachIter(IterOpts{})
	wantErr(t, err, syscall.EBADF, "on_element")
	_, err = prog.AttachIter(IterOpts{MapFd: fd, Pid: 1})
	wantErr(t, err, syscall.EINVAL, "more than one")
}

// skipUnverified skips where the kernel loads other tracing programs and refuses this one by EPERM before it has
// verified an instruction.
func skipUnverified(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var rejected *VerifierError
	verified := errors.As(err, &rejected) && !strings.Contains(rejected.Log, "processed 0 insns")
	if verified || !errors.Is(err, syscall.EPERM) {
		t.Fatal(err)
	}
	loadAttach(t, "on_trace")
	t.Skip(err)
}
