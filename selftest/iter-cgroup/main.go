// Iter-cgroup checks that an iterator goes over cgroups from one that is known by descriptor or id, in
// each of the orders that the kernel knows.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
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
		// A cgroup's id is its folder's number.
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
		module, err := selftest.Load(object)
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
					return fmt.Errorf("with %+v, the iterator gives %v instead of %v, %v", opts, got, test.want, err)
				}
			}
		}
		return nil
	})
}
