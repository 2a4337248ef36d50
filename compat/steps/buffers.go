package main

import (
	"encoding/binary"
	"os"
	"slices"
	"time"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"
)

// patience limits the wait for something that is expected to happen soon.
const patience = 5 * time.Second

// within reports whether a call returns in time. A call that doesn't return keeps running, so that it must be the last
// one of its case.
func within(call func()) bool {
	done := make(chan struct{})
	go func() {
		call()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}

// receive returns up to n records from a channel. end is "there" if it has n records; otherwise it says why there are
// fewer: the channel was closed, or nothing more arrived.
func receive(channel <-chan []byte, n int) (records [][]byte, end string) {
	for range n {
		select {
		case record, open := <-channel:
			if !open {
				return records, "closed"
			}
			records = append(records, record)
		case <-time.After(patience):
			return records, "nothing more"
		}
	}
	return records, "there"
}

// isClosed reports whether a channel is closed, after reading the values in it.
func isClosed[T any](channel <-chan T) bool {
	for {
		select {
		case _, open := <-channel:
			if !open {
				return true
			}
		case <-time.After(200 * time.Millisecond):
			return false
		}
	}
}

// numbers returns how many records there are, whether they have the numbers 0, 1, 2 and so on, and end unchanged.
func numbers(records [][]byte, end string) (count int, inOrder bool, then string) {
	inOrder = true
	for i, record := range records {
		inOrder = inOrder && len(record) >= 8 && binary.NativeEndian.Uint64(record) == uint64(i)
	}
	return len(records), inOrder, end
}

// sender loads an object and attaches a program of it that sends records or events.
func sender(path, program string) *bpf.Module {
	m := loadFor(path)
	must(getProgram(m, program).AttachGeneric())
	return m
}

func init() {
	add(map[string]func(){
		"ringbuf-records": func() {
			m := sender(mainObject, "send_many")
			events := make(chan []byte, 10)
			rb, err := m.InitRingBuf("events", events)
			show("init")(rb, err)
			trigger(3)
			begin := time.Now()
			rb.Poll(1000)
			show("poll returns at once")(time.Since(begin) < 900*time.Millisecond)
			trigger(200)
			show("records")(numbers(receive(events, 203)))
			show("stop")(within(rb.Stop))
			show("channel closed")(isClosed(events))
			show("stop again")(within(rb.Stop))
			show("close")(within(rb.Close))
			show("close again")(within(rb.Close))
		},
		"ringbuf-sizes": func() {
			m := sender(mainObject, "send_sized")
			events := make(chan []byte, 10)
			rb := must(m.InitRingBuf("events", events))
			rb.Start()
			for _, size := range []int{1, 7, 8, 64, 100, 8000} {
				trigger(size)
				record, end := receive(events, 1)
				if end == "there" {
					show("record of %d bytes", size)(len(record[0]), cap(record[0]) >= size)
				}
			}
			rb.Close()
			show("channel closed")(isClosed(events))
		},
		"ringbuf-errors": func() {
			m := open(mainObject)
			events := make(chan []byte)
			show("before the load")(m.InitRingBuf("events", events))
			load(m)
			show("no map")(m.InitRingBuf("nothing", events))
			show("no channel")(m.InitRingBuf("events", nil))
			show("another kind of map")(m.InitRingBuf("numbers", events))
			rb := must(m.InitRingBuf("events", events))
			show("add no map")(m.AddRingBuf(rb, "nothing", events))
			show("add without a channel")(m.AddRingBuf(rb, "more_events", nil))
		},
		"ringbuf-add-twice": func() {
			m := loadFor(mainObject)
			events := make(chan []byte)
			rb := must(m.InitRingBuf("events", events))
			show("add the same")(m.AddRingBuf(rb, "events", events))
		},
		"ringbuf-add-another-kind": func() {
			m := sender(mainObject, "send_many")
			events, others := make(chan []byte, 10), make(chan []byte, 10)
			rb := must(m.InitRingBuf("events", events))
			show("add")(m.AddRingBuf(rb, "numbers", others))
			rb.Poll(100)
			trigger(1)
			show("the first")(numbers(receive(events, 1)))
			show("stop")(within(rb.Stop))
			show("channel closed")(isClosed(events))
		},
		"ringbuf-two": func() {
			m := sender(mainObject, "send_both")
			events, others := make(chan []byte, 10), make(chan []byte, 10)
			rb := must(m.InitRingBuf("events", events))
			show("add")(m.AddRingBuf(rb, "more_events", others))
			rb.Poll(100)
			for range 5 {
				trigger(0)
			}
			records, end := receive(events, 5)
			show("first")(len(records), end)
			records, end = receive(others, 5)
			show("second")(len(records), end)
			show("stop")(within(rb.Stop))
			show("channels closed")(isClosed(events), isClosed(others))
		},
		"ringbuf-abandoned": func() {
			m := sender(mainObject, "send_many")
			events := make(chan []byte)
			rb := must(m.InitRingBuf("events", events))
			rb.Poll(100)
			trigger(100)
			time.Sleep(200 * time.Millisecond)
			show("stop")(within(rb.Stop))
			show("channel closed")(isClosed(events))
		},
		"ringbuf-never-polled": func() {
			m := loadFor(mainObject)
			events := make(chan []byte)
			rb := must(m.InitRingBuf("events", events))
			show("stop")(within(rb.Stop))
			show("channel closed by stop")(isClosed(events))
			show("close")(within(rb.Close))
			show("channel closed by close")(isClosed(events))
		},
		"ringbuf-module-closed": func() {
			m := sender(mainObject, "send_many")
			events := make(chan []byte, 10)
			must(m.InitRingBuf("events", events)).Poll(100)
			trigger(5)
			show("records")(numbers(receive(events, 5)))
			show("close")(within(m.Close))
			show("channel closed")(isClosed(events))
		},
		"ringbuf-without-timeout": func() {
			m := loadFor(mainObject)
			rb := must(m.InitRingBuf("events", make(chan []byte)))
			rb.Poll(-1)
			time.Sleep(100 * time.Millisecond)
			show("stop")(within(rb.Stop))
		},
		"ringbuf-closed-channel": func() {
			m := sender(mainObject, "send_many")
			events := make(chan []byte, 10)
			must(m.InitRingBuf("events", events)).Poll(100)
			close(events)
			trigger(1)
			time.Sleep(300 * time.Millisecond)
			show("still here")()
		},
		"ringbuf-polled-after-stop": func() {
			m := sender(mainObject, "send_many")
			events := make(chan []byte, 10)
			rb := must(m.InitRingBuf("events", events))
			rb.Poll(100)
			rb.Stop()
			rb.Poll(100)
			trigger(1)
			time.Sleep(300 * time.Millisecond)
			show("channel closed")(isClosed(events))
		},
		"ringbuf-one-channel": func() {
			m := sender(mainObject, "send_both")
			events := make(chan []byte, 20)
			rb := must(m.InitRingBuf("events", events))
			show("add")(m.AddRingBuf(rb, "more_events", events))
			rb.Poll(100)
			for range 5 {
				trigger(0)
			}
			records, end := receive(events, 10)
			show("records")(len(records), end)
			show("stop")(within(rb.Stop))
		},
		"ringbuf-many": func() {
			m := loadFor(mainObject)
			var err error
			made := 0
			for ; made < 600 && err == nil; made++ {
				_, err = m.InitRingBuf("more_events", make(chan []byte))
			}
			show("600 buffers")(err)
		},
		"perfbuf-records": func() {
			m := sender(eventsObject, "perf_send_many")
			events, lost := make(chan []byte, 10), make(chan uint64, 10)
			pb, err := m.InitPerfBuf("perf_events", events, lost, 8)
			show("init")(pb, err)
			begin := time.Now()
			pb.Poll(1000)
			show("poll returns at once")(time.Since(begin) < 900*time.Millisecond)
			// Only the events of one CPU are in order.
			for range 20 {
				trigger(1)
				_, end := receive(events, 1)
				if end != "there" {
					show("event")(end)
				}
			}
			trigger(1)
			records, end := receive(events, 1)
			show("one event")(records, end)
			show("stop")(within(pb.Stop))
			show("channels closed")(isClosed(events), isClosed(lost))
			show("stop again")(within(pb.Stop))
			show("close")(within(pb.Close))
			show("close again")(within(pb.Close))
		},
		"perfbuf-sizes": func() {
			m := sender(eventsObject, "perf_send_sized")
			events := make(chan []byte, 10)
			pb := must(m.InitPerfBuf("perf_events", events, nil, 8))
			pb.Start()
			for _, size := range []int{1, 4, 8, 12, 100, 4000} {
				trigger(size)
				if records, end := receive(events, 1); end == "there" {
					show("event of %d bytes", size)(len(records[0]))
				}
			}
			pb.Close()
			show("channel closed")(isClosed(events))
		},
		"perfbuf-lost": func() {
			onOneCPU()
			m := sender(eventsObject, "perf_send_many")
			events, lost := make(chan []byte, 10000), make(chan uint64, 1000)
			pb := must(m.InitPerfBuf("perf_events", events, lost, 1))
			const sent = 1000 // more than fit into a page
			trigger(sent)
			pb.Poll(100)
			var received, missed uint64
			for more := uint64(0); received+missed < sent+more; {
				select {
				case <-events:
					received++
				case count := <-lost:
					missed += count
				case <-time.After(time.Second):
					trigger(1) // the kernel reports lost events before the CPU's next event
					more++
				}
			}
			show("received and lost some")(received > 0, missed > 0)
			pb.Close()
		},
		"perfbuf-lost-unread": func() {
			onOneCPU()
			m := sender(eventsObject, "perf_send_many")
			events, lost := make(chan []byte), make(chan uint64)
			pb := must(m.InitPerfBuf("perf_events", events, lost, 1))
			trigger(1000)
			pb.Poll(100)
			go func() {
				for range events {
				}
			}()
			for range 50 {
				trigger(1)
				time.Sleep(10 * time.Millisecond)
			}
			show("stop")(within(pb.Stop))
		},
		"perfbuf-errors": func() {
			m := open(eventsObject)
			events, lost := make(chan []byte), make(chan uint64)
			show("before the load")(m.InitPerfBuf("perf_events", events, lost, 1))
			load(m)
			show("no map")(m.InitPerfBuf("nothing", events, lost, 1))
			show("no channel")(m.InitPerfBuf("perf_events", nil, lost, 1))
			show("no lost channel")(m.InitPerfBuf("perf_events", events, nil, 1))
			show("three pages")(m.InitPerfBuf("perf_events", events, lost, 3))
			show("no pages")(m.InitPerfBuf("perf_events", events, lost, 0))
			show("less than no pages")(m.InitPerfBuf("perf_events", events, lost, -1))
			show("another kind of map")(m.InitPerfBuf("counts", events, lost, 1))
		},
		"perfbuf-never-polled": func() {
			m := loadFor(eventsObject)
			events := make(chan []byte)
			pb := must(m.InitPerfBuf("perf_events", events, nil, 1))
			show("stop")(within(pb.Stop))
			show("channel closed by stop")(isClosed(events))
			show("close")(within(pb.Close))
			show("channel closed by close")(isClosed(events))
		},
		"perfbuf-module-closed": func() {
			m := sender(eventsObject, "perf_send_many")
			events, lost := make(chan []byte, 10), make(chan uint64)
			must(m.InitPerfBuf("perf_events", events, lost, 1)).Poll(100)
			show("close")(within(m.Close))
			show("channels closed")(isClosed(events), isClosed(lost))
		},
		"user-ringbuf": func() {
			m := sender(eventsObject, "drain")
			drained := make(chan []byte, 10)
			must(m.InitRingBuf("drained", drained)).Poll(100)
			samples := make(chan []byte)
			rb, err := m.InitUserRingBuf("samples", samples)
			show("init")(rb, err)
			rb.Start()
			for i := range 5 {
				samples <- binary.NativeEndian.AppendUint64(nil, uint64(i))
			}
			time.Sleep(100 * time.Millisecond)
			trigger(0)
			show("drained")(numbers(receive(drained, 5)))
			show("error")(rb.Error())
			show("stop")(within(rb.Stop))
		},
		"user-ringbuf-errors": func() {
			m := open(eventsObject)
			samples := make(chan []byte)
			show("before the load")(m.InitUserRingBuf("samples", samples))
			load(m)
			show("no map")(m.InitUserRingBuf("nothing", samples))
			show("no channel")(m.InitUserRingBuf("samples", nil))
			show("another kind of map")(m.InitUserRingBuf("counts", samples))
			rb := must(m.InitUserRingBuf("samples", samples))
			show("error before the start")(rb.Error())
			show("stop before the start")(within(rb.Stop))
			show("close before the start")(within(rb.Close))
			show("close again")(within(rb.Close))
		},
		"user-ringbuf-too-large": func() {
			m := loadFor(eventsObject)
			samples := make(chan []byte)
			rb := must(m.InitUserRingBuf("samples", samples))
			rb.Start()
			samples <- make([]byte, 8192)
			time.Sleep(100 * time.Millisecond)
			show("error")(rb.Error())
			show("no error then")(rb.Error())
			show("the next sample is taken")(within(func() { samples <- make([]byte, 8) }))
		},
		"user-ringbuf-two-errors": func() {
			m := loadFor(eventsObject)
			samples := make(chan []byte)
			rb := must(m.InitUserRingBuf("samples", samples))
			rb.Start()
			show("third sample is taken")(within(func() {
				for range 3 {
					samples <- make([]byte, 8192)
				}
			}))
			show("stop")(within(rb.Stop))
		},
		"user-ringbuf-empty-sample": func() {
			m := loadFor(eventsObject)
			samples := make(chan []byte)
			rb := must(m.InitUserRingBuf("samples", samples))
			rb.Start()
			samples <- nil
			time.Sleep(100 * time.Millisecond)
			show("error")(rb.Error())
		},
		"user-ringbuf-closed-channel": func() {
			m := loadFor(eventsObject)
			samples := make(chan []byte)
			rb := must(m.InitUserRingBuf("samples", samples))
			rb.Start()
			close(samples)
			time.Sleep(100 * time.Millisecond)
			show("error")(rb.Error())
			show("stop")(within(rb.Stop))
		},
		"user-ringbuf-stop-and-close": func() {
			rb := must(loadFor(eventsObject).InitUserRingBuf("samples", make(chan []byte)))
			rb.Start()
			show("stop")(within(rb.Stop))
			show("close")(within(rb.Close))
		},
		"log-callbacks": func() {
			type message struct {
				level int
				text  string
			}
			var messages []message
			log := func(level int, text string) { messages = append(messages, message{level, text}) }
			attach := func() {
				messages = nil
				_, _ = getProgram(open(mainObject), "count").AttachGeneric()
				messages = slices.DeleteFunc(messages, func(m message) bool { return m.level != bpf.LibbpfWarnLevel })
			}
			show("levels")(bpf.LibbpfWarnLevel, bpf.LibbpfInfoLevel, bpf.LibbpfDebugLevel)
			bpf.SetLoggerCbs(bpf.Callbacks{Log: log})
			attach()
			show("warnings")(messages)
			asked := 0
			bpf.SetLoggerCbs(bpf.Callbacks{Log: log, LogFilters: []func(int, string) bool{
				nil,
				func(level int, text string) bool { return level == bpf.LibbpfWarnLevel },
				func(int, string) bool { asked++; return false },
			}})
			attach()
			show("filtered")(messages, asked > 0)
		},
		"log-debug": func() {
			levels := map[int]bool{}
			bpf.SetLoggerCbs(bpf.Callbacks{Log: func(level int, _ string) { levels[level] = true }})
			load(open(mainObject))
			show("levels that came")(levels)
		},
		"log-nil": func() {
			show("bytes on stderr")(onStderr(func() {
				bpf.SetLoggerCbs(bpf.Callbacks{})
				_, _ = getProgram(open(mainObject), "count").AttachGeneric()
			}) > 0)
		},
		"log-default": func() {
			show("stderr is quiet")(onStderr(func() { load(open(mainObject)) }) == 0)
		},
		"log-helpers": func() {
			bpf.SetLoggerCbs(bpf.Callbacks{Log: func(int, string) {}})
			m := loadFor(mainObject)
			show("stderr is quiet")(onStderr(func() { _, _ = m.InitRingBuf("numbers", make(chan []byte)) }) == 0)
		},
	})
}

// onStderr returns how many bytes a call writes to stderr, from Go or C.
func onStderr(call func()) int64 {
	file := must(os.CreateTemp("", "stderr"))
	defer os.Remove(file.Name())
	check(unix.Dup3(int(file.Fd()), 2, 0))
	call()
	return must(file.Stat()).Size()
}
