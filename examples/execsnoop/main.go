// Execsnoop shows every program that is executed on this machine, as it happens, and how the process
// ended.
//
//	execsnoop [-json] [-duration 5s]
//
// For each execution it prints the time, the process id, the parent's id, the user id, the process's name, the full
// name of the executed file and the arguments. For the end of such a process it prints the exit code or the signal, and
// the time since the execution. With -json, it prints each event as a JSON object on one line (see jsonEvent). It ends
// after the duration or on Ctrl-C. Then it prints how many events it saw, and how many the kernel dropped because they
// weren't read fast enough.
//
// It needs Linux 5.8 with BTF, and root or CAP_BPF and CAP_PERFMON.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"golang.org/x/sys/unix"
)

//go:embed execsnoop.bpf.o
var object []byte

func main() {
	flags := flag.NewFlagSet("execsnoop", flag.ExitOnError)
	asJSON := flags.Bool("json", false, "print a JSON object a line instead of a table")
	duration := flags.Duration("duration", 0, "end after this time, such as 5s; 0 means by Ctrl-C")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "execsnoop takes no arguments but these:")
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

	form := table
	if *asJSON {
		form = jsonLines
	}
	if err := run(ctx, os.Stdout, form); err != nil {
		fmt.Fprintln(os.Stderr, "execsnoop:", err)
		os.Exit(1)
	}
}

// A format has the head that is written before all events, and writes an event.
type format struct {
	head  string
	print func(w io.Writer, e *event) error
}

// run prints events until ctx ends.
func run(ctx context.Context, out io.Writer, form format) error {
	if err := checkRights(); err != nil {
		return err
	}
	tracer, err := startTracer()
	if err != nil {
		return err
	}
	defer tracer.Close()
	return tracer.Show(ctx, out, form)
}

// checkRights returns an error of one line if the process lacks capabilities or the kernel lacks BTF.
func checkRights() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	has := func(c uint) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	var missing []string
	if !has(unix.CAP_SYS_ADMIN) {
		if !has(unix.CAP_BPF) {
			missing = append(missing, "CAP_BPF")
		}
		if !has(unix.CAP_PERFMON) {
			missing = append(missing, "CAP_PERFMON")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("rights are missing (%s): run it as root, or with CAP_BPF and CAP_PERFMON", strings.Join(missing, ", "))
	}
	const btf = "/sys/kernel/btf/vmlinux"
	if _, err := os.Stat(btf); err != nil {
		return fmt.Errorf("the kernel's BTF is missing: %w", err)
	}
	return nil
}

// A tracer is the loaded and attached BPF object.
type tracer struct {
	module *bpf.Module
	links  []*bpf.BPFLink
	buffer *bpf.RingBuffer
	events chan []byte
	// booted is the wall clock's time at which CLOCK_BOOTTIME was 0.
	booted time.Time
	seen   uint64
}

func startTracer() (*tracer, error) {
	module, err := bpf.NewModuleFromBuffer(object, "execsnoop")
	if err != nil {
		return nil, err
	}
	t := &tracer{module: module, events: make(chan []byte, 1024)}
	if err := t.start(); err != nil {
		module.Close()
		return nil, err
	}
	return t, nil
}

func (t *tracer) start() (err error) {
	if t.booted, err = bootTime(); err != nil {
		return err
	}
	if err := t.module.BPFLoadObject(); err != nil {
		return err
	}
	if t.buffer, err = t.module.InitRingBuf("events", t.events); err != nil {
		return err
	}
	t.buffer.Poll(300)
	for _, name := range []string{"handle_exec", "handle_exit"} {
		prog, err := t.module.GetProgram(name)
		if err != nil {
			return err
		}
		link, err := prog.AttachGeneric()
		if err != nil {
			return err
		}
		t.links = append(t.links, link)
	}
	return nil
}

func bootTime() (time.Time, error) {
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return time.Time{}, fmt.Errorf("read the time since boot: %w", err)
	}
	return time.Now().Add(-time.Duration(sinceBoot.Nano())), nil
}

// Close frees the tracer.
func (t *tracer) Close() { t.module.Close() }

// Show prints the head at once, events until ctx ends, and then how many it saw and how many were dropped.
func (t *tracer) Show(ctx context.Context, out io.Writer, form format) error {
	if _, err := io.WriteString(out, form.head); err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	err := t.Events(ctx, func(e *event, more bool) error {
		if err := form.print(w, e); err != nil {
			return err
		}
		if more {
			return nil
		}
		return w.Flush()
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	sent, dropped, err := t.counts()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "saw %d events, the kernel dropped %d\n", t.seen, dropped)
	if t.seen != sent {
		return fmt.Errorf("%d events that the kernel sent did not arrive", sent-t.seen)
	}
	return nil
}

// Events calls handle with each event until ctx ends, and then with those that were sent before but haven't arrived
// yet. more is true if another event is already waiting.
func (t *tracer) Events(ctx context.Context, handle func(e *event, more bool) error) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case record, open := <-t.events:
			if !open {
				return fmt.Errorf("the stream of events ended: %w", t.buffer.Err())
			}
			if err := t.handle(record, handle); err != nil {
				return err
			}
		}
	}
	for _, link := range t.links {
		if err := link.Destroy(); err != nil {
			return err
		}
	}
	patience := time.After(5 * time.Second)
	for {
		sent, _, err := t.counts()
		if err != nil || t.seen == sent {
			return err
		}
		select {
		case <-patience:
			return nil
		case record, open := <-t.events:
			if !open {
				return fmt.Errorf("the stream of events ended: %w", t.buffer.Err())
			}
			if err := t.handle(record, handle); err != nil {
				return err
			}
		}
	}
}

func (t *tracer) handle(record []byte, handle func(e *event, more bool) error) error {
	e, err := decode(record, t.booted)
	if err != nil {
		return err
	}
	t.seen++
	return handle(e, len(t.events) > 0)
}

// counts returns the number of events that the programs sent and the number that they dropped.
func (t *tracer) counts() (sent, dropped uint64, err error) {
	bss, err := t.module.GetMap(".bss")
	if err != nil {
		return 0, 0, err
	}
	value := make([]byte, bss.ValueSize())
	if err := bss.LookupElem(make([]byte, 4), value, 0); err != nil {
		return 0, 0, err
	}
	if len(value) < 16 {
		return 0, 0, fmt.Errorf(".bss has %d bytes, want 16", len(value))
	}
	return binary.NativeEndian.Uint64(value), binary.NativeEndian.Uint64(value[8:]), nil
}
