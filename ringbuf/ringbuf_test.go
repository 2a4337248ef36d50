package ringbuf

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
	m, err := libbpfgo.NewModuleFromFile("../testdata/main.bpf.o")
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
	events, err := m.GetMap("events")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(nil); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	r, err := NewReader(events)
	if err != nil {
		t.Fatal(err)
	}
	if size := r.BufferSize(); size != 256*1024 {
		t.Errorf("the ring has %d bytes", size)
	}
	prog, err := m.GetProgram("send_many")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prog.AttachGeneric(); err != nil {
		if _, statErr := os.Stat("/sys/kernel/tracing/events/syscalls"); statErr != nil {
			t.Skipf("tracefs with system call tracepoints is needed (make mounts): %v", err)
		}
		t.Fatal(err)
	}
	_, _, _ = syscall.RawSyscall(syscall.SYS_GETPGID, 3, 0, 0)
	if n := r.AvailableBytes(); n != 3*16 {
		t.Errorf("%d bytes are available", n)
	}
	record, err := r.Read()
	if err != nil || len(record.RawSample) != 8 || binary.NativeEndian.Uint64(record.RawSample) != 0 || record.Remaining != 2*16 {
		t.Errorf("%v, %+v", err, record)
	}
	if err := r.ReadInto(&record); err != nil || binary.NativeEndian.Uint64(record.RawSample) != 1 || record.Remaining != 16 {
		t.Errorf("%v, %+v", err, record)
	}
	if _, err := r.Read(); err != nil {
		t.Error(err)
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
	if n := r.AvailableBytes(); n != 0 {
		t.Errorf("%d bytes are available after Close", n)
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
		if n := r.AvailableBytes(); n != 0 {
			t.Errorf("%d bytes are available", n)
		}
	}
}
