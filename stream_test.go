package libbpfgo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests of this file take as long as these variables of the environment say; make stress sets them.
const (
	eventsVariable = "LIBBPFGO_EVENTS"
	timeVariable   = "LIBBPFGO_TIME"
)

func streamedEvents(t *testing.T) uint64 {
	n, err := strconv.ParseUint(os.Getenv(eventsVariable), 10, 64)
	if err != nil {
		return 1_000_000
	}
	return n
}

func randomTime(t *testing.T) time.Duration {
	d, err := time.ParseDuration(os.Getenv(timeVariable))
	if err != nil {
		return time.Second
	}
	return d
}

// A stream is what several producers send.
type stream struct {
	m    *Module
	send *BPFProg
	move *BPFProg
	sent [producers]atomic.Uint64
}

const producers = 4 // of user ring buffers; BPF programs are two

func newStream(t *testing.T) *stream {
	t.Helper()
	needBPF(t)
	m, err := NewModuleFromFile("testdata/stream.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	return &stream{m: m, send: getProgram(t, m, "send_stream"), move: getProgram(t, m, "drain_samples")}
}

// runWith runs a program with arguments and returns what it does.
func runWith(program *BPFProg, args ...uint64) (int, error) {
	var opts RunOpts
	for _, arg := range args {
		opts.CtxIn = binary.NativeEndian.AppendUint64(opts.CtxIn, arg)
	}
	opts.CtxSizeIn = uint32(len(opts.CtxIn))
	err := program.Run(&opts)
	return int(int32(opts.RetVal)), err
}

// drain moves samples, up to limit, from the user ring to the other one, and takes at least a time for each.
// It returns the drain's result.
func (s *stream) drain(limit int, time time.Duration) (int, error) {
	return runWith(s.move, uint64(limit), uint64(time))
}

// streamSample returns a record of the stream.
func streamSample(producer, number uint64) []byte {
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(sample(producer), number), ^number)
}

// produce sends n records of a producer, or until it is stopped.
func (s *stream) produce(producer, n uint64, stopped <-chan struct{}) error {
	for n > 0 {
		sent, err := runWith(s.send, min(n, 5000), producer)
		if err != nil {
			return err
		}
		n -= uint64(sent)
		s.sent[producer].Add(uint64(sent))
		select {
		case <-stopped:
			return nil
		default:
		}
		if sent == 0 {
			time.Sleep(50 * time.Microsecond) // the ring is full
		}
	}
	return nil
}

// parse returns what a record of the stream says.
func parse(record []byte) (producer, number uint64, err error) {
	if len(record) != 24 {
		return 0, 0, fmt.Errorf("record of %d bytes", len(record))
	}
	producer, number = binary.NativeEndian.Uint64(record), binary.NativeEndian.Uint64(record[8:])
	if producer >= producers || binary.NativeEndian.Uint64(record[16:]) != ^number {
		return 0, 0, fmt.Errorf("record %x", record)
	}
	return producer, number, nil
}

// Every form of reading gets every record once, and each producer's in their order.
func TestStreamIsWhole(t *testing.T) {
	type take func(record []byte) (last bool)
	readers := func(read func(r *RingBufReader, take take) error) func(t *testing.T, s *stream, take take) error {
		return func(t *testing.T, s *stream, take take) error { return read(newRing(t, s.m, "stream"), take) }
	}
	one := func(read func(r *RingBufReader) ([]byte, error)) func(t *testing.T, s *stream, take take) error {
		return readers(func(r *RingBufReader, take take) error {
			for {
				record, err := read(r)
				if err != nil || take(record) {
					return err
				}
			}
		})
	}
	var into Record
	reads := 0
	for name, read := range map[string]func(t *testing.T, s *stream, take take) error{
		"Read": one(func(r *RingBufReader) ([]byte, error) {
			record, err := r.Read()
			return record.RawSample, err
		}),
		"ReadInto": one(func(r *RingBufReader) ([]byte, error) {
			err := r.ReadInto(&into)
			return into.RawSample, err
		}),
		"slow": one(func(r *RingBufReader) ([]byte, error) {
			if reads++; reads%20_000 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			record, err := r.Read()
			return record.RawSample, err
		}),
		"ReadBatch": readers(func(r *RingBufReader, take take) error {
			records := make([]Record, 50)
			for {
				n, err := r.ReadBatch(records)
				if err != nil {
					return err
				}
				for _, record := range records[:n] {
					if take(record.RawSample) {
						return nil
					}
				}
			}
		}),
		"Records": readers(func(r *RingBufReader, take take) error {
			for record, err := range r.Records(context.Background()) {
				if err != nil || take(record.RawSample) {
					return err
				}
			}
			return nil
		}),
		"Consume": readers(func(r *RingBufReader, take take) error {
			last := false
			for !last {
				_, err := r.Consume(func(record Record) error {
					last = take(record.RawSample)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		}),
		"channel": func(t *testing.T, s *stream, take take) error {
			events := make(chan []byte, 1000)
			rb, err := s.m.InitRingBuf("stream", events)
			if err != nil {
				return err
			}
			defer rb.Close()
			rb.Poll(300)
			for record := range events {
				if take(record) {
					return nil
				}
			}
			return rb.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(t)
			each := streamedEvents(t) / 2
			var all sync.WaitGroup
			defer all.Wait()
			stopped := make(chan struct{})
			defer close(stopped)
			for producer := range uint64(2) {
				all.Add(1)
				go func() {
					defer all.Done()
					if err := s.produce(producer, each, stopped); err != nil {
						t.Error(err)
					}
				}()
			}
			var next [producers]uint64
			begin := time.Now()
			err := read(t, s, func(record []byte) bool {
				producer, number, err := parse(record)
				if err != nil || number != next[producer] {
					t.Errorf("producer %d: got number %d, want %d, %v", producer, number, next[producer], err)
					return true
				}
				next[producer]++
				return next[0] == each && next[1] == each
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("%d records, %v each, with their sending", 2*each, time.Since(begin)/time.Duration(max(2*each, 1)))
		})
	}
}

// A tally is what several readers have got.
type tally struct {
	count, sum [producers]atomic.Uint64
	mutex      sync.Mutex
	kept       [][]byte
}

func (l *tally) add(record []byte) error {
	producer, number, err := parse(record)
	if err != nil {
		return err
	}
	l.count[producer].Add(1)
	l.sum[producer].Add(number)
	return nil
}

// keep keeps a record that belongs to the caller.
func (l *tally) keep(record []byte) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.kept) < 5000 {
		l.kept = append(l.kept, record)
	}
	return l.add(record)
}

// check returns an error if records that were kept have changed, and forgets them.
func (l *tally) check() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, record := range l.kept {
		if _, _, err := parse(record); err != nil {
			return fmt.Errorf("kept: %w", err)
		}
	}
	l.kept = nil
	return nil
}

// Readers are closed, deadlines set and records kept at random: each record arrives once all the same, and
// stays what it is.
func TestReadersAtRandom(t *testing.T) {
	s := newStream(t)
	var all sync.WaitGroup
	stopped := make(chan struct{})
	for producer := range uint64(2) {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := s.produce(producer, 1<<62, stopped); err != nil {
				t.Error(err)
			}
		}()
	}
	var got tally
	closed := 0
	for end := time.Now().Add(randomTime(t)); time.Now().Before(end) && !t.Failed(); closed++ {
		if closed%5 == 4 {
			channelAtRandom(t, s, &got)
		} else {
			readerAtRandom(t, s, &got)
		}
		if err := got.check(); err != nil {
			t.Error(err)
		}
	}
	close(stopped)
	all.Wait()

	r := newRing(t, s.m, "stream")
	if _, err := r.Consume(func(record Record) error { return got.add(record.RawSample) }); err != nil {
		t.Error(err)
	}
	for producer := range 2 {
		n := s.sent[producer].Load()
		if count, sum := got.count[producer].Load(), got.sum[producer].Load(); count != n || sum != n*(n-1)/2 {
			t.Errorf("producer %d: %d records of %d, their numbers' sum is %d, want %d", producer, count, n, sum, n*(n-1)/2)
		}
	}
	t.Logf("%d readers were closed, %d records were sent", closed, s.sent[0].Load()+s.sent[1].Load())
}

// readerAtRandom reads in several goroutines, by forms at random, until the reader is closed.
func readerAtRandom(t *testing.T, s *stream, got *tally) {
	r, err := NewRingBufReader(getMap(t, s.m, "stream"))
	if err != nil {
		t.Fatal(err)
	}
	forms := []func() error{
		func() error {
			record, err := r.Read()
			if err != nil {
				return err
			}
			return got.keep(record.RawSample)
		},
		func() error {
			var record Record
			if err := r.ReadInto(&record); err != nil {
				return err
			}
			return got.keep(record.RawSample)
		},
		func() error {
			left := rand.IntN(300)
			for record, err := range r.Records(context.Background()) {
				if err != nil {
					return err
				}
				if err := got.add(record.RawSample); err != nil {
					return err
				}
				if left--; left < 0 {
					break
				}
			}
			return nil
		},
		func() error {
			_, err := r.ConsumeN(rand.IntN(300), func(record Record) error { return got.add(record.RawSample) })
			return err
		},
		// Its records are the next call's, so there must be one goroutine.
		func() error {
			var records [70]Record
			n, err := r.ReadBatch(records[:1+rand.IntN(len(records))])
			for _, record := range records[:n] {
				err = errors.Join(err, got.add(record.RawSample))
			}
			return err
		},
	}
	goroutines := 1 + rand.IntN(3)
	if goroutines > 1 {
		forms = forms[:len(forms)-1]
	}
	readAtRandom(t, r, goroutines, forms, func() {
		for range rand.IntN(10) {
			if _, err := r.AvailableBytes(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		}
	})
}

// readAtRandom reads in several goroutines, by forms at random, while the deadline is set and the reader is
// flushed. Before it closes it, it calls last.
func readAtRandom(t *testing.T, r interface {
	SetDeadline(time.Time)
	Flush()
	Close() error
}, goroutines int, forms []func() error, last func()) {
	var all sync.WaitGroup
	for range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				err := forms[rand.IntN(len(forms))]()
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, ErrFlushed) {
					t.Error(err)
					return
				}
			}
		}()
	}
	for range rand.IntN(50) {
		switch rand.IntN(4) {
		case 0:
			r.SetDeadline(time.Now().Add(time.Duration(rand.IntN(1000)) * time.Microsecond))
		case 1:
			r.SetDeadline(time.Time{})
		case 2:
			r.Flush()
		default:
			pause(500)
		}
	}
	last()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

// pause lasts up to so many microseconds.
func pause(most int) {
	time.Sleep(time.Duration(rand.IntN(most)) * time.Microsecond)
}

// channelAtRandom receives until the buffer is stopped or closed.
func channelAtRandom(t *testing.T, s *stream, got *tally) {
	events := make(chan []byte, rand.IntN(2)*500)
	rb, err := s.m.InitRingBuf("stream", events)
	if err != nil {
		t.Fatal(err)
	}
	rb.Poll(10)
	go func() {
		pause(5000)
		if rand.IntN(2) == 0 {
			rb.Stop()
		}
		rb.Close()
	}()
	for record := range events {
		if err := got.keep(record); err != nil {
			t.Error(err)
		}
	}
	rb.Close()
	if err := rb.Err(); err != nil {
		t.Error(err)
	}
}

// A record that is larger than batches are isn't kept waiting by another ring that always has some.
func TestLargeRecordBesideBusyRing(t *testing.T) {
	s := newStream(t)
	one := getProgram(t, s.m, "send_one")
	send := func(large uint64) {
		t.Helper()
		if result, err := runWith(one, large); err != nil || result != 0 {
			t.Fatal(err, result)
		}
	}
	r := newRing(t, s.m, "large", "small")
	send(1)
	send(0)
	for range 10 {
		send(0)
		record, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if len(record.RawSample) == 100000 {
			return
		}
	}
	t.Error("ten records were read, and the large one wasn't among them")
}
