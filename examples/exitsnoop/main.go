// Exitsnoop shows the processes that exit, and how, as it happens: the CPU, the process, its name, and its
// exit code or the signal that killed it. It shows how a perf buffer is read.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"golang.org/x/sys/unix"
)

//go:embed exitsnoop.bpf.o
var object []byte

// An event is struct event of exitsnoop.bpf.c.
type event struct {
	PID  uint32
	Code uint32
	Comm [16]byte
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("exitsnoop: ")
	duration := flag.Duration("duration", 0, "end after this time; 0 is never")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if *duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *duration)
		defer cancel()
	}
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	module, err := bpf.NewModuleFromBuffer(object, "exitsnoop")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := module.BPFLoadObject(); err != nil {
		return err
	}
	events, err := module.GetMap("events")
	if err != nil {
		return err
	}
	reader, err := bpf.NewPerfReader(events, bpf.PerfReaderOptions{Pages: 16})
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	fmt.Printf("%-12s %3s %7s %-16s %s\n", "TIME", "CPU", "PID", "COMM", "END")
	for record, err := range reader.Records(ctx) {
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case record.LostSamples > 0:
			fmt.Fprintf(os.Stderr, "CPU %d: %d events are lost\n", record.CPU, record.LostSamples)
		default:
			if err := show(record); err != nil {
				return err
			}
		}
	}
	return nil
}

func show(record bpf.PerfRecord) error {
	var e event
	if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &e); err != nil {
		return errors.Join(fmt.Errorf("an event of %d bytes", len(record.RawSample)), err)
	}
	comm, _, _ := bytes.Cut(e.Comm[:], []byte{0})
	end := fmt.Sprintf("code %d", e.Code>>8&0xff)
	if signal := unix.Signal(e.Code & 0x7f); signal != 0 {
		end = unix.SignalName(signal)
	}
	_, err := fmt.Printf("%-12s %3d %7d %-16s %s\n", time.Now().Format("15:04:05.000"), record.CPU, e.PID, comm, end)
	return err
}
