// Exitsnoop shows the processes that exit, and how, as it happens: the CPU, the process, its name, and its
// exit code or the signal that killed it.
//
//	exitsnoop [-duration 5s]
//
// It ends after the duration or on Ctrl-C. Then it prints how many exits it saw, and how many were lost because they
// weren't read fast enough. It is an example of reading a perf buffer.
//
// It needs Linux 5.8 with BTF, and root or CAP_BPF and CAP_PERFMON.
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
	"syscall"
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
	flags := flag.NewFlagSet("exitsnoop", flag.ExitOnError)
	duration := flags.Duration("duration", 0, "end after this time, such as 5s; 0 means by Ctrl-C")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "exitsnoop takes no arguments but these:")
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:])
	if flags.NArg() > 0 || *duration < 0 {
		flags.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if *duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *duration)
		defer cancel()
	}
	// After the first signal, restore the default action, so that a second one kills a program that is blocked on output.
	context.AfterFunc(ctx, stop)
	err := run(ctx)
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: run it as root, or with CAP_BPF and CAP_PERFMON", err)
	}
	if err != nil {
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
	if _, err := fmt.Printf("%-12s %3s %7s %-16s %s\n", "TIME", "CPU", "PID", "COMM", "END"); err != nil {
		return err
	}
	var seen, lost uint64
	handle := func(record bpf.PerfRecord) error {
		if record.LostSamples > 0 {
			lost += record.LostSamples
			return nil
		}
		seen++
		return show(record)
	}
	for record, err := range reader.Records(ctx) {
		if err != nil && ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		if err := handle(record); err != nil {
			return err
		}
	}
	if err := module.DetachPrograms(); err != nil {
		return err
	}
	if _, err := reader.Consume(handle); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "saw %d exits, lost %d\n", seen, lost)
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
