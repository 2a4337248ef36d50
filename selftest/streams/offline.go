package streams

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// Writing 0 to switchFile takes CPU 1 offline, writing 1 brings it online.
const switchFile = "/sys/devices/system/cpu/cpu1/online"

// sendOn moves this thread to a CPU and makes the program send an event there.
func sendOn(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	return selftest.Syscall()
}

func perfOffline(t *selftest.Test) (err error) {
	online := func(state string) error { return os.WriteFile(switchFile, []byte(state), 0) }
	if err := online("1"); err != nil {
		return err
	}
	module, events, err := t.LoadMap("events")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	newReader := func(buffers int) (*bpf.PerfReader, error) {
		reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 1})
		if err == nil && reader.BufferCount() != buffers {
			err = errors.Join(fmt.Errorf("%d buffers, want %d", reader.BufferCount(), buffers), reader.Close())
		}
		return reader, err
	}
	// want consumes all events and checks that they come from these CPUs, and from no others.
	want := func(when string, reader *bpf.PerfReader, cpus ...int) error {
		got := make(map[int]int)
		if _, err := reader.Consume(func(record bpf.PerfRecord) error {
			got[record.CPU]++
			return nil
		}); err != nil {
			return err
		}
		for _, cpu := range cpus {
			if got[cpu] == 0 {
				return fmt.Errorf("%s: no event of CPU %d in %v", when, cpu, got)
			}
		}
		if len(got) != len(cpus) {
			return fmt.Errorf("%s: events came by CPU %v, want %d", when, got, cpus)
		}
		return nil
	}

	reader, err := newReader(2)
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := errors.Join(sendOn(1), sendOn(0)); err != nil {
		return err
	}
	if err := online("0"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, online("1")) }()
	if err := want("after CPU 1 was switched off", reader, 0, 1); err != nil {
		return err
	}
	if err := selftest.Syscall(); err != nil {
		return err
	}
	if err := want("while CPU 1 is off", reader, 0); err != nil {
		return err
	}
	if err := reader.Close(); err != nil {
		return err
	}

	without, err := newReader(1)
	if err != nil {
		return err
	}
	defer without.Close()
	if err := online("1"); err != nil {
		return err
	}
	before, err := selftest.Hits(module, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(sendOn(1), sendOn(0)); err != nil {
		return err
	}
	if after, err := selftest.Hits(module, 0); err != nil || after == before {
		return fmt.Errorf("the program could send an event on a CPU that has no buffer, %w", err)
	}
	if err := errors.Join(want("after CPU 1 was switched on", without, 0), without.Close()); err != nil {
		return err
	}

	offAndOn := func() error { return errors.Join(online("0"), online("1")) }
	if err := readerSurvivesOffline(events, offAndOn); err != nil {
		return err
	}
	if err := rawBufferSurvivesOffline(events, offAndOn); err != nil {
		return err
	}
	return readerReportsLostCPU(events)
}

// readerSurvivesOffline checks that a reader gets the events of CPU 1 after the CPU was offline, also repeatedly.
// offAndOn takes the CPU offline and online.
func readerSurvivesOffline(events *bpf.BPFMap, offAndOn func() error) error {
	reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 1})
	if err != nil {
		return err
	}
	defer reader.Close()
	for round := range 3 {
		if round > 0 {
			if err := offAndOn(); err != nil {
				return err
			}
		}
		// Drop older events: only a new event shows that the CPU's events arrive again.
		if _, err := reader.Consume(func(bpf.PerfRecord) error { return nil }); err != nil {
			return err
		}
		records := make(chan bpf.PerfRecord)
		failed := make(chan error, 1)
		reader.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			// Reading itself causes events on the other CPU, so that Read returns and the deadline alone doesn't end
			// the loop.
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
				record, err := reader.Read()
				if err != nil {
					failed <- err
					return
				}
				if record.CPU == 1 {
					records <- record
					return
				}
			}
		}()
		if err := sendUntil(records, failed); err != nil {
			return fmt.Errorf("after CPU 1 was off %d times: %w", round, err)
		}
	}
	return nil
}

// sendUntil sends events on CPU 1 until something is received or reading fails.
func sendUntil[T any](received <-chan T, failed <-chan error) error {
	for range 500 {
		if err := sendOn(1); err != nil {
			return err
		}
		select {
		case <-received:
			return nil
		case err := <-failed:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("no event of CPU 1 arrives")
}

// rawBufferSurvivesOffline is readerSurvivesOffline for a raw perf buffer of CPU 1 only.
func rawBufferSurvivesOffline(events *bpf.BPFMap, offAndOn func() error) error {
	received := make(chan struct{}, 1)
	buffer, err := bpf.NewPerfBufferRaw(events, bpf.PerfBufferRawOptions{
		Pages: 1, CPUs: []int{1}, MapKeys: []int{1},
		Attr: unix.PerfEventAttr{
			Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_BPF_OUTPUT,
			Sample_type: unix.PERF_SAMPLE_RAW, Sample: 1, Wakeup: 1,
		},
	}, func(int, bpf.RawPerfEvent) bpf.PerfEventRet {
		select {
		case received <- struct{}{}:
		default:
		}
		return bpf.PerfEventCont
	})
	if err != nil {
		return err
	}
	defer buffer.Close()
	if err := offAndOn(); err != nil {
		return err
	}
	if _, err := buffer.Consume(); err != nil {
		return err
	}
	select {
	case <-received: // an event from before the switch
	default:
	}
	failed := make(chan error, 1)
	go func() {
		_, err := buffer.Poll(-1)
		if err != nil {
			failed <- err
		}
	}()
	if err := sendUntil(received, failed); err != nil {
		return fmt.Errorf("raw buffer after CPU 1 was off: %w", err)
	}
	return nil
}

// readerReportsLostCPU checks a reader that can't reopen CPU 1's buffer because the process has no free descriptor:
// Read returns the error, and later reads return the events of the other CPU.
func readerReportsLostCPU(events *bpf.BPFMap) error {
	reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 1})
	if err != nil {
		return err
	}
	defer reader.Close()
	off, err := os.OpenFile(switchFile, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer off.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	low := limit
	low.Cur = 3
	if _, err := off.WriteString("0"); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return err
	}
	_, err = off.WriteString("1")
	var readErr error
	// Reading itself causes events, so that Read returns records before the error.
	for end := time.Now().Add(10 * time.Second); readErr == nil && time.Now().Before(end); {
		_, readErr = reader.Read()
	}
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		return err
	}
	if !errors.Is(readErr, unix.EMFILE) || !strings.Contains(readErr.Error(), "CPU 1 ") {
		return fmt.Errorf("without a free descriptor, the reader returns %v", readErr)
	}
	if err := sendOn(0); err != nil {
		return err
	}
	if _, err := reader.Read(); err != nil {
		return fmt.Errorf("read after the error: %w", err)
	}
	return nil
}
