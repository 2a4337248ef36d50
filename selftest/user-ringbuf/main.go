// User-ringbuf checks that samples of a user ring buffer come to a program in their order, however
// they are written.
package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	supported, err := bpf.BPFMapTypeIsSupported(bpf.MapTypeUserRingbuf)
	if err != nil || !supported {
		return fmt.Errorf("user ring buffers: %w, %v", errors.ErrUnsupported, err)
	}
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	samples, err := module.GetMap("samples")
	if err != nil {
		return err
	}
	ring, err := bpf.NewUserRingBuffer(samples)
	if err != nil {
		return err
	}
	defer ring.Close()
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	reserved, err := ring.Reserve(4)
	if err != nil {
		return err
	}
	discarded, err := ring.Reserve(100)
	if err != nil {
		return err
	}
	if _, err := ring.Write(number(1)); err != nil {
		return err
	}
	if n, err := ring.WriteBatch([][]byte{number(2), number(3)}); n != 2 || err != nil {
		return fmt.Errorf("%d samples were written, %v", n, err)
	}
	copy(reserved.Bytes(), number(0))
	if err := errors.Join(discarded.Discard(), reserved.Submit()); err != nil {
		return err
	}
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	if err := selftest.Syscall(); err != nil {
		return err
	}
	if n, err := selftest.Hits(module, 0); err != nil || n != 4 {
		return fmt.Errorf("the program has drained %d samples, %v", n, err)
	}
	return nil
}
