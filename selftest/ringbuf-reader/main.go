// Ringbuf-reader checks that a reader of two rings gives the records of each in their order, in all
// its forms, and that deadlines end waits.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	first, err := module.GetMap("first")
	if err != nil {
		return err
	}
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
			return fmt.Errorf("ring %d gives %d, want %d", i, n, next[i])
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
