// Link-pin checks that a pinned link outlives its module, and ends when it is removed.
package main

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.WithBPFFS(func(dir string) error {
		path := filepath.Join(dir, "link")
		// This module stays, to see what the other one's program does.
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		hits, err := module.GetMap("hits")
		if err != nil {
			return err
		}
		return selftest.Effect(module, func() (func() error, error) {
			return func() error { return errors.Join(os.Remove(path), ended(module)) }, pin(hits.FileDescriptor(), path)
		}, selftest.Syscall)
	})
}

// pin attaches the program of another module, which shares the map hits, pins it, and closes that module.
func pin(hits int, path string) error {
	module, err := selftest.Load(object, func(module *bpf.Module) error {
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
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	link, err := prog.AttachGeneric()
	if err != nil {
		return err
	}
	return link.Pin(path)
}

// ended waits until the program doesn't run any more: the kernel frees a link without a pin some time after.
func ended(module *bpf.Module) error {
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
	return errors.New("the program still runs a second after its link has lost its pin")
}
