package streams

import (
	"encoding/binary"
	"errors"
	"fmt"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func userRingbuf(t *selftest.Test) error {
	module, samples, err := t.LoadMap("samples")
	if err != nil {
		return err
	}
	defer module.Close()
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
