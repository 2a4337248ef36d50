package libbpfgo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// load loads the object of the examples.
func load() *Module {
	module, err := NewModuleFromFile("testdata/example.bpf.o")
	if err != nil {
		log.Fatal(err)
	}
	if err := module.BPFLoadObject(); err != nil {
		log.Fatal(err)
	}
	return module
}

// mapOf returns a map of the module.
func mapOf(module *Module, name string) *BPFMap {
	bpfMap, err := module.GetMap(name)
	if err != nil {
		log.Fatal(err)
	}
	return bpfMap
}

// run runs a program of the module once and returns what it returns.
func run(module *Module, program string) uint32 {
	prog, err := module.GetProgram(program)
	if err != nil {
		log.Fatal(err)
	}
	var opts RunOpts
	if err := prog.Run(&opts); err != nil {
		log.Fatal(err)
	}
	return opts.RetVal
}

// decode returns the number in a record.
func decode(record []byte) uint64 { return binary.NativeEndian.Uint64(record) }

// The channel gets each record as a slice of its own, until the buffer is closed.
func ExampleModule_InitRingBuf() {
	module := load()
	defer module.Close()
	events := make(chan []byte, 16)
	buffer, err := module.InitRingBuf("events", events)
	if err != nil {
		log.Fatal(err)
	}
	defer buffer.Close()
	buffer.Poll(300)
	run(module, "send") // sends 1, 2 and 3
	for record := range events {
		fmt.Println(decode(record))
		if decode(record) == 3 {
			break
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

// Each record may be kept. A deadline ends the wait.
func ExampleRingBufReader_Read() {
	module := load()
	defer module.Close()
	reader, err := NewRingBufReader(mapOf(module, "events"))
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send") // sends 1, 2 and 3
	reader.SetDeadline(time.Now().Add(100 * time.Millisecond))
	var kept []Record
	for {
		record, err := reader.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		kept = append(kept, record)
	}
	for _, record := range kept {
		fmt.Println(decode(record.RawSample))
	}
	// Output:
	// 1
	// 2
	// 3
}

// One record's memory is used for all of them. Flush ends the reading when everything was read.
func ExampleRingBufReader_ReadInto() {
	module := load()
	defer module.Close()
	reader, err := NewRingBufReader(mapOf(module, "events"))
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send") // sends 1, 2 and 3
	reader.Flush()
	var record Record
	for {
		err := reader.ReadInto(&record)
		if errors.Is(err, ErrFlushed) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(decode(record.RawSample), "of map", record.Map.Name())
	}
	// Output:
	// 1 of map events
	// 2 of map events
	// 3 of map events
}

// The records are valid until the next call.
func ExampleRingBufReader_ReadBatch() {
	module := load()
	defer module.Close()
	reader, err := NewRingBufReader(mapOf(module, "events"))
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send") // sends 1, 2 and 3
	batch := make([]Record, 128)
	n, err := reader.ReadBatch(batch)
	if err != nil {
		log.Fatal(err)
	}
	for _, record := range batch[:n] {
		fmt.Println(decode(record.RawSample))
	}
	// Output:
	// 1
	// 2
	// 3
}

// Each record is valid for its turn of the loop, which ends when the context is done.
func ExampleRingBufReader_Records() {
	module := load()
	defer module.Close()
	reader, err := NewRingBufReader(mapOf(module, "events"))
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send") // sends 1, 2 and 3
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for record, err := range reader.Records(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(decode(record.RawSample))
		if decode(record.RawSample) == 3 {
			cancel()
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

// One channel gets the events, the other how many were lost.
func ExampleModule_InitPerfBuf() {
	module := load()
	defer module.Close()
	events, lost := make(chan []byte, 16), make(chan uint64, 1)
	buffer, err := module.InitPerfBuf("perf_events", events, lost, 8)
	if err != nil {
		log.Fatal(err)
	}
	defer buffer.Close()
	buffer.Poll(300)
	run(module, "send_perf") // sends 1, 2 and 3
	for range 3 {
		select {
		case event := <-events:
			fmt.Println(decode(event))
		case n := <-lost:
			log.Fatalf("%d events were lost", n)
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

// Each event may be kept, and knows its CPU. Those that there was no room for are counted.
func ExamplePerfReader_Read() {
	module := load()
	defer module.Close()
	reader, err := NewPerfReader(mapOf(module, "perf_events"), PerfReaderOptions{Pages: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send_perf") // sends 1, 2 and 3
	reader.SetDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		record, err := reader.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if record.LostSamples > 0 {
			log.Fatalf("CPU %d has lost %d events", record.CPU, record.LostSamples)
		}
		fmt.Println(decode(record.RawSample))
	}
	// Output:
	// 1
	// 2
	// 3
}

// One event's memory is used for all of them. Flush ends the reading when everything was read.
func ExamplePerfReader_ReadInto() {
	module := load()
	defer module.Close()
	reader, err := NewPerfReader(mapOf(module, "perf_events"), PerfReaderOptions{Pages: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send_perf") // sends 1, 2 and 3
	reader.Flush()
	var record PerfRecord
	for {
		err := reader.ReadInto(&record)
		if errors.Is(err, ErrFlushed) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(decode(record.RawSample))
	}
	// Output:
	// 1
	// 2
	// 3
}

// The events are valid until the next call.
func ExamplePerfReader_ReadBatch() {
	module := load()
	defer module.Close()
	reader, err := NewPerfReader(mapOf(module, "perf_events"), PerfReaderOptions{Pages: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send_perf") // sends 1, 2 and 3
	batch := make([]PerfRecord, 128)
	n, err := reader.ReadBatch(batch)
	if err != nil {
		log.Fatal(err)
	}
	for _, record := range batch[:n] {
		fmt.Println(decode(record.RawSample))
	}
	// Output:
	// 1
	// 2
	// 3
}

// Each event is valid for its turn of the loop, which ends when the context is done.
func ExamplePerfReader_Records() {
	module := load()
	defer module.Close()
	reader, err := NewPerfReader(mapOf(module, "perf_events"), PerfReaderOptions{Pages: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	run(module, "send_perf") // sends 1, 2 and 3
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for record, err := range reader.Records(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(decode(record.RawSample))
		if decode(record.RawSample) == 3 {
			cancel()
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

// The kernel's events are there with all that their attributes ask for: here, the size of what the program has
// sent, which is padded, and then that.
func ExamplePerfBufferRaw() {
	module := load()
	defer module.Close()
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Config:      unix.PERF_COUNT_SW_BPF_OUTPUT,
		Sample_type: unix.PERF_SAMPLE_RAW,
		Sample:      1,
		Wakeup:      1,
	}
	show := func(cpu int, event RawPerfEvent) PerfEventRet {
		if event.Type == unix.PERF_RECORD_SAMPLE {
			fmt.Println(binary.NativeEndian.Uint32(event.Data), "bytes with", decode(event.Data[4:]))
		}
		return PerfEventCont
	}
	buffer, err := NewPerfBufferRaw(mapOf(module, "perf_events"), PerfBufferRawOptions{Pages: 8, Attr: attr}, show)
	if err != nil {
		log.Fatal(err)
	}
	defer buffer.Close()
	run(module, "send_perf") // sends 1, 2 and 3
	if _, err := buffer.Poll(time.Second); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 12 bytes with 1
	// 12 bytes with 2
	// 12 bytes with 3
}

// What comes from the channel is sent by a goroutine, until the buffer is stopped or closed.
func ExampleModule_InitUserRingBuf() {
	module := load()
	defer module.Close()
	samples := make(chan []byte)
	ring, err := module.InitUserRingBuf("samples", samples)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	ring.Start()
	for i := range uint64(3) {
		samples <- binary.NativeEndian.AppendUint64(nil, i+1)
	}
	sum := uint32(0)
	for sum < 6 {
		if err := ring.Error(); err != nil {
			log.Fatal(err)
		}
		sum += run(module, "add_up") // takes the samples that are there
	}
	fmt.Println("the sum is", sum)
	// Output: the sum is 6
}

// A program takes the samples by bpf_user_ringbuf_drain().
func ExampleUserRingBuffer_Write() {
	module := load()
	defer module.Close()
	ring, err := NewUserRingBuffer(mapOf(module, "samples"))
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	for i := range uint64(3) {
		if _, err := ring.Write(binary.NativeEndian.AppendUint64(nil, i+1)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("the sum is", run(module, "add_up"))
	// Output: the sum is 6
}

// Several samples cost little more than one.
func ExampleUserRingBuffer_WriteBatch() {
	module := load()
	defer module.Close()
	ring, err := NewUserRingBuffer(mapOf(module, "samples"))
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	var samples [][]byte
	for i := range uint64(3) {
		samples = append(samples, binary.NativeEndian.AppendUint64(nil, i+1))
	}
	if n, err := ring.WriteBatch(samples); err != nil {
		log.Fatalf("%d samples were written: %v", n, err)
	}
	fmt.Println("the sum is", run(module, "add_up"))
	// Output: the sum is 6
}

// A sample is written in place and submitted.
func ExampleUserRingBuffer_Reserve() {
	module := load()
	defer module.Close()
	ring, err := NewUserRingBuffer(mapOf(module, "samples"))
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	sample, err := ring.Reserve(8)
	if errors.Is(err, ErrNoSpace) {
		log.Fatal("the ring is full")
	}
	if err != nil {
		log.Fatal(err)
	}
	binary.NativeEndian.PutUint64(sample.Bytes(), 6)
	if err := sample.Submit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the sum is", run(module, "add_up"))
	// Output: the sum is 6
}

// A full ring is waited for, until a program takes samples from it.
func ExampleUserRingBuffer_ReserveBlocking() {
	module := load()
	defer module.Close()
	ring, err := NewUserRingBuffer(mapOf(module, "samples"))
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	if _, err := ring.Write(make([]byte, ring.BufferSize()-8)); err != nil { // fills it
		log.Fatal(err)
	}
	_, err = ring.ReserveBlocking(8, 10*time.Millisecond)
	fmt.Println("no room:", errors.Is(err, ErrNoSpace))
	time.AfterFunc(10*time.Millisecond, func() { run(module, "add_up") })
	sample, err := ring.ReserveBlocking(8, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("room for", len(sample.Bytes()), "bytes")
	if err := sample.Discard(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// no room: true
	// room for 8 bytes
}
