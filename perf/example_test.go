package perf_test

import (
	"encoding/binary"
	"fmt"
	"log"
	"os"

	"github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/perf"
)

// Read the numbers 1, 2 and 3, which a program sends to a perf buffer.
func Example() {
	module, err := libbpfgo.NewModuleFromFile("../testdata/example.bpf.o")
	if err != nil {
		log.Fatal(err)
	}
	defer module.Close()
	if err := module.BPFLoadObject(); err != nil {
		log.Fatal(err)
	}
	events, err := module.GetMap("perf_events")
	if err != nil {
		log.Fatal(err)
	}
	reader, err := perf.NewReader(events, 8*os.Getpagesize())
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	prog, err := module.GetProgram("send_perf")
	if err != nil {
		log.Fatal(err)
	}
	if err := prog.Run(&libbpfgo.RunOpts{}); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		record, err := reader.Read()
		if err != nil {
			log.Fatal(err)
		}
		if record.LostSamples > 0 {
			log.Fatalf("CPU %d has lost %d events", record.CPU, record.LostSamples)
		}
		fmt.Println(binary.NativeEndian.Uint64(record.RawSample))
	}
	// Output:
	// 1
	// 2
	// 3
}
