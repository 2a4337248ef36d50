package libbpfgo

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// failNextRead makes the reader's next look at its buffers fail, as a system call of libbpf's may.
func failNextRead(r *reader) {
	r.lockNow()
	defer r.reading.Unlock()
	r.sources()[0].err = -5 // EIO
}

// An error of polling closes all channels, and Err returns it, also after Close.
func TestPollingFails(t *testing.T) {
	t.Run("ring buffer", func(t *testing.T) {
		m := loadMain(t)
		events, others := make(chan []byte), make(chan []byte)
		rb := initRing(t, m, "send_many", events)
		if ok, err := m.AddRingBuf(rb, "more_events", others); !ok || err != nil {
			t.Fatal(ok, err)
		}
		rb.Poll(-1)
		trigger(3)
		wantSequence(t, events, 0, 3)
		if err := rb.Err(); err != nil {
			t.Error(err)
		}
		failNextRead(rb.feeder.feeds[0].reader)
		wantClosed(t, events)
		wantClosed(t, others)
		wantErr(t, rb.Err(), syscall.EIO, "read ring buffer", `"events"`)
		rb.Poll(-1) // does nothing
		rb.Stop()
		rb.Close()
		wantErr(t, rb.Err(), syscall.EIO)
	})
	t.Run("perf buffer", func(t *testing.T) {
		onOneCPU(t)
		m := loadEvents(t)
		events, lost := make(chan []byte), make(chan uint64)
		pb, err := m.InitPerfBuf("perf_events", events, lost, 4)
		if err != nil {
			t.Fatal(err)
		}
		attach(t, m, "perf_send_many")
		pb.Poll(-1)
		trigger(3)
		for i := range uint64(3) {
			if event := receive(t, events); number(event) != i {
				t.Fatalf("event %d is %x", i, event)
			}
		}
		if err := pb.Err(); err != nil {
			t.Error(err)
		}
		failNextRead(pb.feeder.feeds[0].reader)
		wantClosed(t, events)
		if n, open := <-lost; open {
			t.Errorf("%d events are lost", n)
		}
		wantErr(t, pb.Err(), syscall.EIO, "read perf buffer", `"perf_events"`)
		pb.Poll(-1)
		pb.Stop()
		pb.Close()
		wantErr(t, pb.Err(), syscall.EIO)
	})
}

// atOnce runs the calls in goroutines of their own and waits for them.
func atOnce(calls ...func()) {
	var all sync.WaitGroup
	started := make(chan struct{})
	for _, call := range calls {
		all.Add(1)
		go func() {
			defer all.Done()
			<-started
			call()
		}()
	}
	close(started)
	all.Wait()
}

func TestPerfBufferConcurrentStopClose(t *testing.T) {
	leaksNothing(t, func() {
		for range 30 {
			m := loadEvents(t)
			events, lost := make(chan []byte), make(chan uint64)
			pb, err := m.InitPerfBuf("perf_events", events, lost, 1)
			if err != nil {
				t.Fatal(err)
			}
			attach(t, m, "perf_send_many")
			pb.Poll(1)
			atOnce(
				func() { pb.Poll(1) }, pb.Stop, pb.Stop, pb.Close, pb.Close, m.Close,
				func() { trigger(100) },
				func() { <-events },
				func() { <-lost },
				func() { _ = pb.Err() },
			)
			for range events {
			}
			for range lost {
			}
			if err := pb.Err(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestUserRingBufferConcurrentStopClose(t *testing.T) {
	leaksNothing(t, func() {
		for range 30 {
			m := loadEvents(t)
			samples := make(chan []byte, 8)
			rb, err := m.InitUserRingBuf("samples", samples)
			if err != nil {
				t.Fatal(err)
			}
			rb.Start()
			atOnce(
				rb.Start, rb.Start, rb.Stop, rb.Stop, rb.Close, rb.Close, m.Close,
				func() {
					for i := range cap(samples) {
						samples <- sample(uint64(i))
					}
				},
				func() { _, _ = rb.Write(sample(0)) },
				func() { _ = rb.Error() },
			)
			if rb.ring.stop != nil {
				t.Fatal("it sends after Close")
			}
			_, err = rb.Write(sample(0))
			wantErr(t, err, os.ErrClosed, "samples")
		}
	})
}

// A closed buffer takes nothing from its channel.
func TestUserRingBufferStartAfterClose(t *testing.T) {
	m := loadEvents(t)
	samples := make(chan []byte, 1)
	rb, err := m.InitUserRingBuf("samples", samples)
	if err != nil {
		t.Fatal(err)
	}
	rb.Start()
	if frame := runningFrame(); !strings.Contains(frame, "(*UserRingBuffer).Start") {
		t.Errorf("TestMain wouldn't see the goroutine that sends: %q", frame)
	}
	rb.Close()
	rb.Start()
	if rb.ring.stop != nil {
		t.Fatal("it sends")
	}
	samples <- sample(1)
	rb.Stop()
	if len(samples) != 1 || rb.Error() != nil {
		t.Error("the sample was taken")
	}
}

// Error returns the first error since its last call, not a later one.
func TestUserRingBufferKeepsTheFirstError(t *testing.T) {
	m := loadEvents(t)
	samples := make(chan []byte)
	rb, err := m.InitUserRingBuf("samples", samples)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		rb.Start()
		samples <- nil
		samples <- make([]byte, rb.BufferSize())
		samples <- sample(1)
		rb.Stop()
		wantErr(t, rb.Error(), syscall.EINVAL, "write 0 bytes", "samples")
		if err := rb.Error(); err != nil {
			t.Error(err)
		}
	}
}
