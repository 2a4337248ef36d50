// Syscount shows how many system calls processes make in each second. Their ids are its arguments, and
// more can be typed while it runs, one on each line. It shows how a BPF program is told something through a
// user ring buffer, which needs Linux 6.1.
package main

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
)

//go:embed syscount.bpf.o
var object []byte

func main() {
	log.SetFlags(0)
	log.SetPrefix("syscount: ")
	duration := flag.Duration("duration", 0, "end after this time; 0 is never")
	flag.Parse()
	if err := run(flag.Args(), os.Stdin, *duration); err != nil {
		log.Fatal(err)
	}
}

func run(pids []string, typed io.Reader, duration time.Duration) error {
	module, err := bpf.NewModuleFromBuffer(object, "syscount")
	if err != nil {
		return err
	}
	defer module.Close()
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
	ring, err := bpf.NewUserRingBuffer(commands)
	if err != nil {
		return err
	}
	counts, err := module.GetMap("counts")
	if err != nil {
		return err
	}
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	for _, pid := range pids {
		if err := watch(ring, pid); err != nil {
			return err
		}
	}
	go func() {
		for lines := bufio.NewScanner(typed); lines.Scan(); {
			if err := watch(ring, lines.Text()); errors.Is(err, os.ErrClosed) {
				return
			} else if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}()
	begin := time.Now()
	before := make(map[uint32]uint64)
	for duration == 0 || time.Since(begin) < duration {
		time.Sleep(time.Second)
		if err := show(counts, before); err != nil {
			return err
		}
	}
	return nil
}

// watch tells the BPF program to count a process's calls; the system calls of this process make it look.
func watch(ring *bpf.UserRingBuffer, pid string) error {
	n, err := strconv.ParseUint(strings.TrimSpace(pid), 10, 32)
	if err != nil {
		return fmt.Errorf("no id of a process: %q", pid)
	}
	sample, err := ring.ReserveBlocking(4, time.Second)
	if err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(sample.Bytes(), uint32(n))
	return sample.Submit()
}

// show prints the calls since the last time, which before knows.
func show(counts *bpf.BPFMap, before map[uint32]uint64) error {
	it := counts.Iterator()
	value := make([]byte, 8)
	for it.Next() {
		pid := binary.NativeEndian.Uint32(it.Key())
		if err := counts.LookupElem(it.Key(), value, bpf.MapFlagUpdateAny); err != nil {
			return err
		}
		count := binary.NativeEndian.Uint64(value)
		fmt.Printf("%s %7d %8d\n", time.Now().Format("15:04:05"), pid, count-before[pid])
		before[pid] = count
	}
	return it.Err()
}
