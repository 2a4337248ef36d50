// Cilium is the benchmark's process for github.com/cilium/ebpf.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

func main() {
	peer.Main(func(image []byte) (peer.Object, error) {
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(image))
		if err != nil {
			return nil, err
		}
		collection, err := ebpf.NewCollection(spec)
		return object{collection}, err
	})
}

type object struct{ collection *ebpf.Collection }

func (o object) Close() { o.collection.Close() }

func (o object) ProgFD(name string) int { return o.collection.Programs[name].FD() }

func (o object) MapFD(name string) int { return o.collection.Maps[name].FD() }

func (o object) Ring(form string, names ...string) (peer.Source, error) {
	if len(names) > 1 {
		return nil, fmt.Errorf("a reader has one ring")
	}
	reader, err := ringbuf.NewReader(o.collection.Maps[names[0]])
	if err != nil {
		return nil, err
	}
	return &ring{reader: reader, form: form}, nil
}

type ring struct {
	reader *ringbuf.Reader
	form   string
	into   ringbuf.Record
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
	reader, err := perf.NewReader(o.collection.Maps["perf"], pages*os.Getpagesize())
	if err != nil {
		return nil, err
	}
	return &events{reader: reader, form: form}, nil
}

type events struct {
	reader *perf.Reader
	form   string
	into   perf.Record
}

func (e *events) Close() { e.reader.Close() }

func (e *events) Read(n int) (sum uint64, err error) {
	switch e.form {
	case "Read":
		for range n {
			record, err := e.reader.Read()
			if err != nil {
				return 0, err
			}
			sum += peer.Number(record.RawSample)
		}
	case "ReadInto":
		for range n {
			if err := e.reader.ReadInto(&e.into); err != nil {
				return 0, err
			}
			sum += peer.Number(e.into.RawSample)
		}
	default:
		return 0, fmt.Errorf("no form %q", e.form)
	}
	return sum, nil
}

func (e *events) ReadStamp() (uint64, error) {
	record, err := e.reader.Read()
	if err != nil {
		return 0, err
	}
	return peer.Stamp(record.RawSample), nil
}

func (o object) User(form string) (peer.Sink, error) {
	return nil, fmt.Errorf("no user ring buffers")
}
