// Libbpfgo is the benchmark's process for github.com/aquasecurity/libbpfgo.
package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"

	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

func main() {
	bpf.SetLoggerCbs(bpf.Callbacks{Log: func(int, string) {}})
	peer.Main(func(image []byte) (peer.Object, error) {
		module, err := bpf.NewModuleFromBufferArgs(bpf.NewModuleArgs{
			BPFObjBuff: image, BPFObjName: "events", SkipMemlockBump: true,
		})
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

func (o object) MapFD(name string) int {
	bpfMap, err := o.module.GetMap(name)
	if err != nil {
		panic(err)
	}
	return bpfMap.FileDescriptor()
}

func (o object) Ring(form string, names ...string) (peer.Source, error) {
	if form != "channel" {
		return nil, fmt.Errorf("no form %q", form)
	}
	events := make(chan []byte, 4096)
	buffer, err := o.module.InitRingBuf(names[0], events)
	if err != nil {
		return nil, err
	}
	first := &channel{events: events, start: func() { buffer.Poll(300) }, close: buffer.Close}
	if len(names) == 1 {
		return first, nil
	}
	others := make([]*channel, len(names)-1)
	for i, name := range names[1:] {
		others[i] = &channel{events: make(chan []byte, 4096), started: true}
		if _, err := o.module.AddRingBuf(buffer, name, others[i].events); err != nil {
			return nil, err
		}
	}
	return &channels{first, others}, nil
}

func (o object) Perf(form string, pages int) (peer.Source, error) {
	if form != "channel" {
		return nil, fmt.Errorf("no form %q", form)
	}
	events := make(chan []byte, 4096)
	buffer, err := o.module.InitPerfBuf("perf", events, nil, pages)
	if err != nil {
		return nil, err
	}
	return &channel{events: events, start: func() { buffer.Poll(300) }, close: buffer.Close}, nil
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

// Channels reads from several rings that are polled together. Each ring needs its own Go channel, because the library
// closes the channel once per ring.
type channels struct {
	*channel // the first ring's; it starts the buffer of all rings
	others   []*channel
}

// Read reads n events, the same number from each channel, concurrently.
func (c *channels) Read(n int) (uint64, error) {
	var all sync.WaitGroup
	sums, errs := make([]uint64, len(c.others)), make([]error, len(c.others))
	n /= len(c.others) + 1
	for i, other := range c.others {
		all.Add(1)
		go func() {
			defer all.Done()
			sums[i], errs[i] = other.Read(n)
		}()
	}
	sum, err := c.channel.Read(n)
	all.Wait()
	for _, s := range sums {
		sum += s
	}
	return sum, errors.Join(append(errs, err)...)
}

func (o object) User(form string) (peer.Sink, error) {
	if form != "channel" {
		return nil, fmt.Errorf("no form %q", form)
	}
	samples := make(chan []byte, 4096)
	buffer, err := o.module.InitUserRingBuf("user", samples)
	if err != nil {
		return nil, err
	}
	buffer.Start()
	page := unix.Getpagesize()
	producer, err := unix.Mmap(o.MapFD("user"), int64(page), page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &user{buffer, samples, (*uint64)(unsafe.Pointer(&producer[0]))}, nil
}

type user struct {
	buffer   *bpf.UserRingBuffer
	samples  chan []byte
	position *uint64 // the ring's producer position
}

// Write sends the samples to the channel and waits until all are in the ring. The library has no way to wait for that,
// so Write watches the producer position.
func (u *user) Write(n int, sample []byte) error {
	end := atomic.LoadUint64(u.position) + uint64(n)*uint64(len(sample)+8)
	for range n {
		u.samples <- sample
	}
	for atomic.LoadUint64(u.position) < end {
		if err := u.buffer.Error(); err != nil {
			return err
		}
	}
	return nil
}

// Close does nothing. The module closes the buffer; it would panic if Stop had been called before.
func (u *user) Close() {}
