package maps

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// A storageKey is a struct bpf_cgroup_storage_key.
type storageKey struct {
	cgroup     uint64
	attachType bpf.BPFAttachType
	_          uint32
}

func cgroupStorage(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	if _, err := prog.AttachCgroup(t.Cgroup); err != nil {
		return err
	}
	// A cgroup's id is the inode number of its folder.
	var folder unix.Stat_t
	if err := unix.Stat(t.Cgroup, &folder); err != nil {
		return err
	}
	key := storageKey{cgroup: folder.Ino, attachType: bpf.BPFAttachTypeCgroupInet4Connect}
	for _, name := range []string{"shared", "percpu"} {
		elements, err := module.GetMap(name)
		if err != nil {
			return err
		}
		if err := useStorage(elements, &key); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// useStorage checks that the program adds the number of connections to the key's values. It writes 1000, makes 3
// connections, and expects values whose sum is 1003.
func useStorage(elements *bpf.BPFMap, key *storageKey) error {
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

func cgrpStorage(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	folder, err := os.Open(t.Cgroup)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	return selftest.Storage(module, int(folder.Fd()), selftest.Syscall)
}

func inodeStorage(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	file, err := os.CreateTemp("", "inode")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := module.AttachPrograms(); err != nil {
		return selftest.At(selftest.Attaching, err)
	}
	return selftest.Storage(module, int(file.Fd()), func() error {
		again, err := os.Open(file.Name())
		if err != nil {
			return err
		}
		return again.Close()
	})
}

func skStorage(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	if _, err := prog.AttachCgroup(t.Cgroup); err != nil {
		return err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return selftest.Storage(module, socket, func() error {
		return unix.Connect(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 4242})
	})
}

func taskStorage(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := module.AttachPrograms(); err != nil {
		return err
	}
	return selftest.Storage(module, fd, selftest.Syscall)
}
