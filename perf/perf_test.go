package perf

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/internal/examples"
)

// TestMain skips the tests and the example without root, because an example can't skip itself.
func TestMain(m *testing.M) {
	examples.SkipUnlessRoot()
	os.Exit(m.Run())
}

func TestReader(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("BPF programs can be loaded by root only: run as root")
	}
	m, err := libbpfgo.NewModuleFromFile("../testdata/events.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
		t.Fatal(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	array, err := m.GetMap("perf_events")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(array, 0); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	if _, err := NewReader(nil, 1); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	r, err := NewReader(array, os.Getpagesize()+1)
	if err != nil {
		t.Fatal(err)
	}
	if size := r.BufferSize(); size != 2*os.Getpagesize() {
		t.Errorf("a buffer has %d bytes", size)
	}
	prog, err := m.GetProgram("perf_send_many")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prog.AttachGeneric(); err != nil {
		if _, statErr := os.Stat("/sys/kernel/tracing/events/syscalls"); statErr != nil {
			t.Skipf("tracefs with system call tracepoints is needed (make mounts): %v", err)
		}
		t.Fatal(err)
	}
	_, _, _ = syscall.RawSyscall(syscall.SYS_GETPGID, 2, 0, 0)
	record, err := r.Read()
	if err != nil || len(record.RawSample) != 12 || binary.NativeEndian.Uint64(record.RawSample) != 0 || record.LostSamples != 0 {
		t.Errorf("%v, %+v", err, record)
	}
	if err := r.ReadInto(&record); err != nil || binary.NativeEndian.Uint64(record.RawSample) != 1 {
		t.Errorf("%v, %+v", err, record)
	}
	r.SetDeadline(time.Now())
	if _, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	r.SetDeadline(time.Time{})
	if err := r.Flush(); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(); !errors.Is(err, ErrFlushed) {
		t.Error(err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestPagesFor(t *testing.T) {
	page := os.Getpagesize()
	for size, want := range map[int]int{1: 1, page: 1, page + 1: 2, 2*page + 1: 4, 8 * page: 8} {
		if n := pagesFor(size); n != want {
			t.Errorf("%d pages for %d bytes, want %d", n, size, want)
		}
	}
}

// Nil and the zero value behave as closed readers.
func TestNilAndZeroValue(t *testing.T) {
	for _, r := range []*Reader{nil, new(Reader)} {
		_, err := r.Read()
		if !errors.Is(err, ErrClosed) || !errors.Is(r.ReadInto(new(Record)), ErrClosed) || !errors.Is(r.ReadInto(nil), syscall.EINVAL) {
			t.Error(err)
		}
		r.SetDeadline(time.Now())
		if err := errors.Join(r.Flush(), r.Close()); err != nil {
			t.Error(err)
		}
		if n := r.BufferSize(); n != 0 {
			t.Errorf("the size is %d", n)
		}
	}
}
