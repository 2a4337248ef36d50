// Map-cgroup-array checks that a program knows whether it runs for a process of the cgroup that the process
// has put into a map.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InCgroup(func(path string) (err error) {
		child := filepath.Join(path, "child")
		if err := os.Mkdir(child, 0o755); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(child)) }()
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		elements, err := module.GetMap("elements")
		if err != nil {
			return err
		}
		expect := func(when string, want int32) error {
			ret, err := selftest.RunProg(module, "prog")
			if err != nil || int32(ret) != want {
				return fmt.Errorf("%s, the program returns %d instead of %d, %v", when, int32(ret), want, err)
			}
			return nil
		}
		key := uint32(1)
		if err := expect("without an element", -int32(syscall.EAGAIN)); err != nil {
			return err
		}
		for path, want := range map[string]int32{path: 1, child: 0} {
			folder, err := os.Open(path)
			if err != nil {
				return err
			}
			defer folder.Close()
			value := uint32(folder.Fd())
			if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
				return err
			}
			if err := expect("with cgroup "+path, want); err != nil {
				return err
			}
		}
		if err := elements.DeleteKey(unsafe.Pointer(&key)); err != nil {
			return err
		}
		return expect("after the element was deleted", -int32(syscall.EAGAIN))
	})
}
