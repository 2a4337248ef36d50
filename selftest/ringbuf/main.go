// Ringbuf checks that records which a program sends for each system call of this process arrive,
// all of them and each once.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

const records = 10000

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	prog, err := module.GetProgram("send")
	if err != nil {
		return err
	}
	events := make(chan []byte, 128)
	buffer, err := module.InitRingBuf("events", events)
	if err != nil {
		return err
	}
	buffer.Poll(300)
	if _, err := prog.AttachGeneric(); err != nil {
		return err
	}

	seen := make([]bool, records)
	timeout := time.After(time.Minute)
	for missing := records; missing > 0; {
		syscall.Getppid()
		select {
		case event, open := <-events:
			if !open {
				return fmt.Errorf("the buffer ended: %w", buffer.Err())
			}
			if len(event) != 8 {
				return fmt.Errorf("a record of %d bytes", len(event))
			}
			n := binary.NativeEndian.Uint64(event)
			if n >= records {
				continue
			}
			if seen[n] {
				return fmt.Errorf("record %d came twice", n)
			}
			seen[n] = true
			missing--
		case <-timeout:
			return fmt.Errorf("%d of %d records are missing", missing, records)
		default:
		}
	}
	return nil
}
