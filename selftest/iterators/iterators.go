package iterators

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func bpfObjects(t *selftest.Test) error {
	module, hits, err := t.LoadMap("hits")
	if err != nil {
		return err
	}
	defer module.Close()
	prog, err := module.GetProgram("links")
	if err != nil {
		return err
	}
	link, err := prog.AttachIter(bpf.IterOpts{})
	if err != nil {
		return err
	}
	for name, fd := range map[string]int{
		"maps": hits.FileDescriptor(), "programs": prog.FileDescriptor(), "links": link.FileDescriptor(),
	} {
		want, err := id(fd)
		if err != nil {
			return err
		}
		got, err := selftest.Iterate(module, name, bpf.IterOpts{})
		if err != nil || !slices.Contains(got, want) {
			return fmt.Errorf("%d isn't among the %s %v, %v", want, name, got, err)
		}
	}
	symbols, err := selftest.Iterate(module, "symbols", bpf.IterOpts{})
	if err != nil || len(symbols) == 0 {
		return fmt.Errorf("the kernel's function wasn't found, %v", err)
	}
	return nil
}

// id returns the kernel's id of the map, program or link that fd is a descriptor of.
func id(fd int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"map_id", "prog_id", "link_id"}, key) {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("descriptor %d has no id", fd)
}

func cgroups(t *selftest.Test) (err error) {
	path := t.Cgroup
	child := filepath.Join(path, "child")
	if err := os.Mkdir(child, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(child)) }()
	// A cgroup's id is the inode number of its folder.
	var ids [3]uint64
	for i, folder := range []string{filepath.Dir(path), path, child} {
		var stat unix.Stat_t
		if err := unix.Stat(folder, &stat); err != nil {
			return err
		}
		ids[i] = stat.Ino
	}
	root, self, below := ids[0], ids[1], ids[2]
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	type test struct {
		order bpf.BPFCgroupIterOrder
		want  []uint64
	}
	tests := []test{
		{bpf.BPFIterSelfOnly, []uint64{self}},
		{bpf.BPFIterDescendantsPre, []uint64{self, below}},
		{bpf.BPFIterDescendantsPost, []uint64{below, self}},
		{bpf.BPFIterAncestorsUp, []uint64{self, root}},
	}
	children, err := selftest.RunProg(module, "has_children")
	if err != nil {
		return err
	}
	if children != 0 {
		tests = append(tests, test{bpf.BPFIterChildren, []uint64{below}})
	}
	for _, test := range tests {
		for _, opts := range []bpf.IterOpts{
			{CgroupIterOrder: test.order, CgroupFd: int(folder.Fd())}, {CgroupIterOrder: test.order, CgroupId: self},
		} {
			got, err := selftest.Iterate(module, "prog", opts)
			if err != nil || !slices.Equal(got, test.want) {
				return fmt.Errorf("with %+v, the iterator returns %v instead of %v, %v", opts, got, test.want, err)
			}
		}
	}
	return nil
}

func caches(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	sizes, err := selftest.Iterate(module, "prog", bpf.IterOpts{})
	if err != nil {
		return err
	}
	for _, size := range []uint64{64, 1024, 4096} {
		if !slices.Contains(sizes, size) {
			return fmt.Errorf("no cache has objects of %d bytes: %v", size, sizes)
		}
	}
	return nil
}

func elements(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	for key := range uint32(3) {
		value := uint64(key + 1)
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
	}
	if _, err := selftest.Iterate(module, "prog", bpf.IterOpts{MapFd: elements.FileDescriptor()}); err != nil {
		return err
	}
	if sum, err := selftest.Hits(module, 0); err != nil || sum != 300+6 {
		return fmt.Errorf("the elements add up to %d, %v", sum, err)
	}
	return nil
}

func tasks(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	all, err := selftest.Iterate(module, "prog", bpf.IterOpts{})
	if err != nil {
		return err
	}
	self := uint64(os.Getpid())
	if !slices.Contains(all, self) || !slices.ContainsFunc(all, func(pid uint64) bool { return pid != self }) {
		return fmt.Errorf("process %d and others aren't among %v", self, all)
	}
	one, err := selftest.Iterate(module, "prog", bpf.IterOpts{Tid: unix.Gettid()})
	if err != nil || !slices.Equal(one, []uint64{self}) {
		return fmt.Errorf("with a thread of process %d, the iterator returns %v, %v", self, one, err)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for _, opts := range []bpf.IterOpts{{Pid: os.Getpid()}, {PidFd: pidfd}} {
		threads, err := selftest.Iterate(module, "prog", opts)
		if err != nil || len(threads) == 0 || slices.ContainsFunc(threads, func(pid uint64) bool { return pid != self }) {
			return fmt.Errorf("with %+v, the iterator returns %v, %v", opts, threads, err)
		}
	}
	return nil
}

func sockets(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.Connection(nil, func(from, to int) error {
		address, err := unix.Getsockname(from)
		if err != nil {
			return err
		}
		port := address.(*unix.SockaddrInet4).Port
		got, err := selftest.Iterate(module, "prog", bpf.IterOpts{})
		// The listening socket and the two ends of the connection.
		if err != nil || len(got) != 3 || !slices.Contains(got, uint64(port)) {
			return fmt.Errorf("the ports are %v without %d, %v", got, port, err)
		}
		return nil
	})
}
