// Syscount shows how many system calls processes make in each second.
//
//	syscount [-duration 5s] [PID ...]
//
// It reads more process ids from the standard input while it runs, one per line. It stops counting a process that has
// ended. It ends after the duration, on Ctrl-C, or when no process is left and the standard input has ended. Then it
// prints the total. It is an example of sending data to a BPF program through a user ring buffer.
//
// It needs Linux 6.1, and root or CAP_BPF and CAP_PERFMON.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"golang.org/x/sys/unix"
)

//go:embed syscount.bpf.o
var object []byte

func main() {
	log.SetFlags(0)
	log.SetPrefix("syscount: ")
	flags := flag.NewFlagSet("syscount", flag.ExitOnError)
	duration := flags.Duration("duration", 0, "end after this time, such as 5s; 0 means by Ctrl-C")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "syscount takes ids of processes, and before them:")
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:])
	if *duration < 0 {
		flags.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal, restore the default action, so that a second one kills a program that is blocked on output.
	context.AfterFunc(ctx, stop)
	err := run(ctx, flags.Args(), os.Stdin, *duration)
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: run it as root, or with CAP_BPF and CAP_PERFMON", err)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, pids []string, typed io.Reader, duration time.Duration) error {
	c := new(counter)
	for _, pid := range pids {
		if err := c.find(pid); err != nil {
			return err
		}
	}
	module, err := bpf.NewModuleFromBuffer(object, "syscount")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := c.start(module); err != nil {
		return err
	}
	if err := c.count(ctx, lines(typed), duration); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "counted %d system calls of %d processes\n", c.total, c.named)
	return nil
}

// lines returns a channel with the lines of r. It is closed when r ends.
func lines(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// A counter counts the calls of processes.
type counter struct {
	ring      *bpf.UserRingBuffer
	counts    *bpf.BPFMap
	processes []*process
	named     int    // how many processes were counted so far, with those that have ended
	total     uint64 // the calls of all of them
}

type process struct {
	pid   uint32
	pidfd int    // readable when the process has ended
	shown uint64 // the number of calls that were already shown
}

func (p *process) key() []byte { return binary.NativeEndian.AppendUint32(nil, p.pid) }

func (p *process) ended() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, 0)
	return n > 0
}

// find adds the process with the id to the list of processes.
func (c *counter) find(id string) error {
	pid, err := strconv.ParseUint(id, 10, 31)
	if err != nil || pid == 0 {
		return fmt.Errorf("%q is no id of a process", id)
	}
	if slices.ContainsFunc(c.processes, func(p *process) bool { return uint64(p.pid) == pid }) {
		return nil
	}
	pidfd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	c.processes = append(c.processes, &process{pid: uint32(pid), pidfd: pidfd})
	c.named++
	return nil
}

// start loads and attaches the BPF program, and makes it count the processes in the list.
func (c *counter) start(module *bpf.Module) error {
	if err := module.InitGlobalVariable("own_pid", uint32(os.Getpid())); err != nil {
		return err
	}
	if err := module.BPFLoadObject(); err != nil {
		return err
	}
	commands, err := module.GetMap("commands")
	if err != nil {
		return err
	}
	if c.ring, err = bpf.NewUserRingBuffer(commands); err != nil {
		return err
	}
	if c.counts, err = module.GetMap("counts"); err != nil {
		return err
	}
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	for _, p := range c.processes {
		if err := c.watch(p); err != nil {
			return err
		}
	}
	return nil
}

// watch makes the BPF program count the calls of p. It sends the process id and waits until the program has added p to
// the map. The program drains the ring at each system call of this process, so that the lookup itself makes it do so.
func (c *counter) watch(p *process) error {
	key := p.key()
	sample, err := c.ring.ReserveBlocking(len(key), time.Second)
	if err != nil {
		return err
	}
	copy(sample.Bytes(), key)
	if err := sample.Submit(); err != nil {
		return err
	}
	for begin := time.Now(); ; {
		_, err := c.calls(p)
		if err == nil {
			return nil
		}
		if time.Since(begin) > time.Second {
			return fmt.Errorf("process %d can't be counted, because of too many others or a PID namespace: %w", p.pid, err)
		}
	}
}

// calls returns how many calls of p were counted.
func (c *counter) calls(p *process) (uint64, error) {
	value := make([]byte, 8)
	if err := c.counts.LookupElem(p.key(), value, bpf.MapFlagUpdateAny); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(value), nil
}

// count shows the calls of each second until ctx ends, the duration is over (if it isn't 0), or no process is left and
// typed is closed.
func (c *counter) count(ctx context.Context, typed <-chan string, duration time.Duration) error {
	end := time.Now().Add(duration)
	next := func() <-chan time.Time {
		if duration == 0 {
			return time.After(time.Second)
		}
		return time.After(min(time.Second, time.Until(end)))
	}
	for tick := next(); ; {
		select {
		case <-ctx.Done():
			return c.show()
		case <-tick:
			if err := c.show(); err != nil {
				return err
			}
			if duration != 0 && !time.Now().Before(end) {
				return nil
			}
			tick = next()
		case line, open := <-typed:
			if !open {
				typed = nil
			} else if err := c.add(line); err != nil {
				log.Print(err)
			}
		}
		if typed == nil && len(c.processes) == 0 {
			if c.named == 0 {
				return errors.New("no process is named")
			}
			return nil
		}
	}
}

// add starts to count the process with the id in the line. If that fails, the process is dropped again.
func (c *counter) add(line string) error {
	before := len(c.processes)
	if err := c.find(strings.TrimSpace(line)); err != nil || len(c.processes) == before {
		return err
	}
	added := c.processes[before]
	err := c.watch(added)
	if err != nil {
		c.processes = c.processes[:before]
		c.named--
		unix.Close(added.pidfd)
	}
	return err
}

// show prints the calls of each process since they were last shown, and drops the processes that have ended.
func (c *counter) show() error {
	now := time.Now().Format("15:04:05")
	left := c.processes[:0]
	for _, p := range c.processes {
		ended := p.ended()
		calls, err := c.calls(p)
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%s %7d %8d\n", now, p.pid, calls-p.shown); err != nil {
			return err
		}
		c.total += calls - p.shown
		p.shown = calls
		if !ended {
			left = append(left, p)
			continue
		}
		log.Printf("process %d has ended", p.pid)
		unix.Close(p.pidfd)
		if err := c.counts.DeleteElem(p.key()); err != nil {
			return err
		}
	}
	c.processes = left
	return nil
}
