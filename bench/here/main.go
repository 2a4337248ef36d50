// Here is the benchmark's process for this library, and for libbpf in C.
package main

import (
	"context"
	"fmt"
	"os"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

func main() {
	peer.Main(func(image []byte) (peer.Object, error) {
		module, err := bpf.NewModuleFromBuffer(image, "events")
		if err != nil {
			return nil, err
		}
		return object{module}, module.BPFLoadObject()
	})
}

type object struct{ module *bpf.Module }

func (o object) Close() { o.module.Close() }

func (o object) ProgFD(name string) int {
	prog, err := o.module.GetProgram(name)
	if err != nil {
		panic(err)
	}
	return prog.FileDescriptor()
}

func (o object) MapFD(name string) int { return o.bpfMap(name).FileDescriptor() }

func (o object) bpfMap(name string) *bpf.BPFMap {
	bpfMap, err := o.module.GetMap(name)
	if err != nil {
		panic(err)
	}
	return bpfMap
}

func (o object) Ring(form string, names ...string) (peer.Source, error) {
	switch form {
	case "C":
		var fds []int
		for _, name := range names {
			fds = append(fds, o.MapFD(name))
		}
		return newCRing(fds...)
	case "channel":
		events := make(chan []byte, 4096)
		buffer, err := o.module.InitRingBuf(names[0], events)
		if err != nil {
			return nil, err
		}
		for _, name := range names[1:] {
			if _, err := o.module.AddRingBuf(buffer, name, events); err != nil {
				return nil, err
			}
		}
		return &channel{events: events, start: func() { buffer.Poll(300) }, close: buffer.Close}, nil
	}
	var maps []*bpf.BPFMap
	for _, name := range names {
		maps = append(maps, o.bpfMap(name))
	}
	reader, err := bpf.NewRingBufReader(maps...)
	if err != nil {
		return nil, err
	}
	return &ring{reader: reader, form: form, batch: make([]bpf.Record, 512)}, nil
}

// A channel reads events from a Go channel. It starts the buffer with the first read.
type channel struct {
	events  chan []byte
	start   func()
	started bool
	close   func()
}

func (c *channel) begin() {
	if !c.started {
		c.started = true
		c.start()
	}
}

func (c *channel) Read(n int) (sum uint64, err error) {
	c.begin()
	for range n {
		event, ok := <-c.events
		if !ok {
			return 0, os.ErrClosed
		}
		sum += peer.Number(event)
	}
	return sum, nil
}

func (c *channel) ReadStamp() (uint64, error) {
	c.begin()
	event, ok := <-c.events
	if !ok {
		return 0, os.ErrClosed
	}
	return peer.Stamp(event), nil
}

func (c *channel) Close() { c.close() }

type ring struct {
	reader *bpf.RingBufReader
	form   string
	into   bpf.Record
	batch  []bpf.Record
}

func (r *ring) Close() { r.reader.Close() }

func (r *ring) Read(n int) (sum uint64, err error) {
	switch r.form {
	case "Read":
		for range n {
			record, err := r.reader.Read()
			if err != nil {
				return 0, err
			}
			sum += peer.Number(record.RawSample)
		}
	case "ReadInto":
		for range n {
			if err := r.reader.ReadInto(&r.into); err != nil {
				return 0, err
			}
			sum += peer.Number(r.into.RawSample)
		}
	case "ReadBatch":
		for n > 0 {
			got, err := r.reader.ReadBatch(r.batch)
			if err != nil {
				return 0, err
			}
			for i := range r.batch[:got] {
				sum += peer.Number(r.batch[i].RawSample)
			}
			n -= got
		}
	case "Records":
		for record, err := range r.reader.Records(context.Background()) {
			if err != nil {
				return 0, err
			}
			sum += peer.Number(record.RawSample)
			if n--; n == 0 {
				break
			}
		}
	default:
		return 0, fmt.Errorf("no form %q", r.form)
	}
	return sum, nil
}

func (r *ring) ReadStamp() (uint64, error) {
	record, err := r.reader.Read()
	if err != nil {
		return 0, err
	}
	return peer.Stamp(record.RawSample), nil
}

func (o object) Perf(form string, pages int) (peer.Source, error) {
	switch form {
	case "C":
		return newCPerf(o.MapFD("perf"), pages)
	case "channel":
		events := make(chan []byte, 4096)
		buffer, err := o.module.InitPerfBuf("perf", events, nil, pages)
		if err != nil {
			return nil, err
		}
		return &channel{events: events, start: func() { buffer.Poll(300) }, close: buffer.Close}, nil
	}
	reader, err := bpf.NewPerfReader(o.bpfMap("perf"), bpf.PerfReaderOptions{Pages: pages})
	if err != nil {
		return nil, err
	}
	return &perf{reader: reader, form: form, batch: make([]bpf.PerfRecord, 512)}, nil
}

type perf struct {
	reader *bpf.PerfReader
	form   string
	into   bpf.PerfRecord
	batch  []bpf.PerfRecord
}

func (p *perf) Close() { p.reader.Close() }

func (p *perf) Read(n int) (sum uint64, err error) {
	switch p.form {
	case "Read":
		for range n {
			record, err := p.reader.Read()
			if err != nil {
				return 0, err
			}
			sum += peer.Number(record.RawSample)
		}
	case "ReadInto":
		for range n {
			if err := p.reader.ReadInto(&p.into); err != nil {
				return 0, err
			}
			sum += peer.Number(p.into.RawSample)
		}
	case "ReadBatch":
		for n > 0 {
			got, err := p.reader.ReadBatch(p.batch)
			if err != nil {
				return 0, err
			}
			for i := range p.batch[:got] {
				sum += peer.Number(p.batch[i].RawSample)
			}
			n -= got
		}
	case "Records":
		for record, err := range p.reader.Records(context.Background()) {
			if err != nil {
				return 0, err
			}
			sum += peer.Number(record.RawSample)
			if n--; n == 0 {
				break
			}
		}
	default:
		return 0, fmt.Errorf("no form %q", p.form)
	}
	return sum, nil
}

func (p *perf) ReadStamp() (uint64, error) {
	record, err := p.reader.Read()
	if err != nil {
		return 0, err
	}
	return peer.Stamp(record.RawSample), nil
}

func (o object) User(form string) (peer.Sink, error) {
	if form == "C" {
		return newCUser(o.MapFD("user"))
	}
	buffer, err := bpf.NewUserRingBuffer(o.bpfMap("user"))
	if err != nil {
		return nil, err
	}
	return user{buffer, form}, nil
}

type user struct {
	buffer *bpf.UserRingBuffer
	form   string
}

func (u user) Close() { u.buffer.Close() }

func (u user) Write(n int, sample []byte) error {
	switch u.form {
	case "Write":
		for range n {
			if _, err := u.buffer.Write(sample); err != nil {
				return err
			}
		}
	case "WriteBatch":
		batch := make([][]byte, 64)
		for i := range batch {
			batch[i] = sample
		}
		for ; n > 0; n -= len(batch) {
			if _, err := u.buffer.WriteBatch(batch[:min(n, len(batch))]); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("no form %q", u.form)
	}
	return nil
}
