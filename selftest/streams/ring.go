package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

const records = 10000

func ringbuf(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("send")
	if err != nil {
		return err
	}
	defer module.Close()
	events := make(chan []byte, 128)
	buffer, err := module.InitRingBuf("events", events)
	if err != nil {
		return err
	}
	buffer.Poll(300)
	if _, err := prog.AttachGeneric(); err != nil {
		return err
	}

	seen := make([]bool, records)
	timeout := time.After(time.Minute)
	for missing := records; missing > 0; {
		syscall.Getppid()
		select {
		case event, open := <-events:
			if !open {
				return fmt.Errorf("the buffer ended: %w", buffer.Err())
			}
			if len(event) != 8 {
				return fmt.Errorf("a record of %d bytes", len(event))
			}
			n := binary.NativeEndian.Uint64(event)
			if n >= records {
				continue
			}
			if seen[n] {
				return fmt.Errorf("record %d came twice", n)
			}
			seen[n] = true
			missing--
		case <-timeout:
			return fmt.Errorf("%d of %d records are missing", missing, records)
		default:
		}
	}
	return nil
}

func ringbufReader(t *selftest.Test) error {
	module, first, err := t.LoadMap("first")
	if err != nil {
		return err
	}
	defer module.Close()
	second, err := module.GetMap("second")
	if err != nil {
		return err
	}
	reader, err := bpf.NewRingBufReader(first, second)
	if err != nil {
		return err
	}
	defer reader.Close()
	var next [2]uint64
	check := func(record bpf.Record) error {
		n := binary.NativeEndian.Uint64(record.RawSample)
		i := 0
		if record.Map == second {
			i, n = 1, ^n
		}
		if n != next[i] {
			return fmt.Errorf("ring %d returns %d, want %d", i, n, next[i])
		}
		next[i]++
		return nil
	}
	var into bpf.Record
	batch := make([]bpf.Record, 30)
	for round := range uint64(20) {
		if _, err := selftest.RunProg(module, "prog"); err != nil {
			return err
		}
		for next[0]+next[1] < (round+1)*200 {
			var err error
			switch round % 4 {
			case 0:
				var record bpf.Record
				if record, err = reader.Read(); err == nil {
					err = check(record)
				}
			case 1:
				if err = reader.ReadInto(&into); err == nil {
					err = check(into)
				}
			case 2:
				var n int
				n, err = reader.ReadBatch(batch)
				for _, record := range batch[:n] {
					err = errors.Join(err, check(record))
				}
			case 3:
				_, err = reader.ConsumeN(7, check)
			}
			if err != nil {
				return err
			}
		}
	}
	reader.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := reader.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("after the deadline: %v", err)
	}
	module.Close()
	if _, err := reader.Read(); !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("after Close: %v", err)
	}
	return nil
}

func ringbufTwo(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	first, second := make(chan []byte), make(chan []byte, 10)
	buffer, err := module.InitRingBuf("first", first)
	if err != nil {
		return err
	}
	buffer.Poll(300)
	if added, err := module.AddRingBuf(buffer, "second", second); !added || err != nil {
		return fmt.Errorf("the second ring was added: %v, %v", added, err)
	}
	for round := range uint64(20) {
		if _, err := selftest.RunProg(module, "prog"); err != nil {
			return err
		}
		for i := range uint64(100) {
			n := round*100 + i
			if record := <-second; binary.NativeEndian.Uint64(record) != ^n {
				return fmt.Errorf("record %d of the second ring is %x", n, record)
			}
		}
		// Nothing was read from the first channel until now: it must not have blocked the second one.
		for i := range uint64(100) {
			n := round*100 + i
			if record := <-first; binary.NativeEndian.Uint64(record) != n {
				return fmt.Errorf("record %d of the first ring is %x", n, record)
			}
		}
	}
	buffer.Stop()
	if _, open := <-first; open {
		return errors.New("the channel is open after Stop")
	}
	return buffer.Err()
}
