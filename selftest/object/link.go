package object

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func linkPin(t *selftest.Test) error {
	path := filepath.Join(t.BPFFS, "link")
	// This module stays open and reads the counter of the other module's program.
	module, hits, err := t.LoadMap("hits")
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.Effect(module, func() (func() error, error) {
		return func() error { return errors.Join(os.Remove(path), linkEnded(module)) }, pinLink(t, hits.FileDescriptor(), path)
	}, selftest.Syscall)
}

// pinLink loads another module that reuses the map hits, attaches its program, pins the link, and closes the module.
func pinLink(t *selftest.Test, hits int, path string) error {
	module, prog, err := t.LoadProgram("prog", func(module *bpf.Module) error {
		own, err := module.GetMap("hits")
		if err != nil {
			return err
		}
		return own.ReuseFD(hits)
	})
	if err != nil {
		return err
	}
	defer module.Close()
	link, err := prog.AttachGeneric()
	if err != nil {
		return err
	}
	return link.Pin(path)
}

// linkEnded waits until the program doesn't run any more: the kernel frees a link some time after its pin is removed.
func linkEnded(module *bpf.Module) error {
	for range 1000 {
		before, err := selftest.Hits(module, 0)
		if err != nil {
			return err
		}
		if err := selftest.Syscall(); err != nil {
			return err
		}
		if after, err := selftest.Hits(module, 0); err != nil || after == before {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the program still runs a second after its link's pin was removed")
}

func linkUpdate(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	second, err := module.GetProgram("second")
	if err != nil {
		return err
	}
	link, err := prog.AttachXDP("lo")
	if err != nil {
		return err
	}
	for round := range uint64(2) {
		if err := selftest.Datagram(); err != nil {
			return err
		}
		for key := range uint32(2) {
			want := uint64(1)
			if uint64(key) > round {
				want = 0
			}
			if n, err := selftest.Hits(module, key); err != nil || n != want {
				return fmt.Errorf("round %d: program %d ran %d times, %v", round, key, n, err)
			}
		}
		if err := link.UpdateProgram(second); err != nil {
			return err
		}
	}
	return nil
}
