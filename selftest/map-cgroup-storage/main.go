// Map-cgroup-storage checks that the process reads and changes what a program stores with the cgroup that it
// is attached to, once and for each CPU.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

// A storageKey is a struct bpf_cgroup_storage_key.
type storageKey struct {
	cgroup     uint64
	attachType bpf.BPFAttachType
	_          uint32
}

func run() error {
	return selftest.InNetwork(func() error {
		return selftest.InCgroup(func(path string) error {
			module, err := selftest.Load(object)
			if err != nil {
				return err
			}
			defer module.Close()
			prog, err := module.GetProgram("prog")
			if err != nil {
				return err
			}
			if _, err := prog.AttachCgroup(path); err != nil {
				return err
			}
			// A cgroup's id is its folder's number.
			var folder unix.Stat_t
			if err := unix.Stat(path, &folder); err != nil {
				return err
			}
			key := storageKey{cgroup: folder.Ino, attachType: bpf.BPFAttachTypeCgroupInet4Connect}
			for _, name := range []string{"shared", "percpu"} {
				elements, err := module.GetMap(name)
				if err != nil {
					return err
				}
				if err := use(elements, &key); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	})
}

// use checks that the sum of the key's values is how many connections were made since the last update.
func use(elements *bpf.BPFMap, key *storageKey) error {
	var first storageKey
	if err := elements.GetNextKey(nil, unsafe.Pointer(&first)); err != nil || first != *key {
		return fmt.Errorf("the first key is %+v instead of %+v, %v", first, *key, err)
	}
	values, err := elements.GetValue(unsafe.Pointer(key))
	if err != nil {
		return err
	}
	clear(values)
	binary.NativeEndian.PutUint64(values, 1000)
	if err := elements.Update(unsafe.Pointer(key), unsafe.Pointer(&values[0])); err != nil {
		return err
	}
	for range 3 {
		if err := selftest.Connect(); err != nil {
			return err
		}
	}
	if values, err = elements.GetValue(unsafe.Pointer(key)); err != nil || sum(values) != 1003 {
		return fmt.Errorf("the values are %x after 3 connections, %v", values, err)
	}
	return nil
}

func sum(values []byte) (n uint64) {
	for ; len(values) > 0; values = values[8:] {
		n += binary.NativeEndian.Uint64(values)
	}
	return n
}
