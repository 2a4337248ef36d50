package selftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// A Need is something that a case needs of the machine. It provides it, calls run, which runs the case, and cleans
// up. If the machine can't provide it, the case is skipped.
type Need func(t *Test, run func() error) error

// lack returns err as the reason to skip a case, if it is one of refusals.
func lack(err error, refusals ...error) error {
	if slices.ContainsFunc(refusals, func(refusal error) bool { return errors.Is(err, refusal) }) {
		return &skip{err}
	}
	return err
}

// check returns a need that the machine has if test reports so. Otherwise lacks is the reason to skip the case.
func check(test func() (has bool, err error), lacks string) Need {
	return func(_ *Test, run func() error) error {
		has, err := test()
		if err != nil {
			return err
		}
		if !has {
			return &skip{errors.New(lacks)}
		}
		return run()
	}
}

// LSM is a kernel that runs BPF programs at its security hooks. A kernel that doesn't list its hooks may.
var LSM = check(func() (bool, error) {
	active, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		return true, nil
	}
	return slices.Contains(strings.Split(strings.TrimSpace(string(active)), ","), "bpf"), nil
}, "bpf isn't among the active security modules")

// VM is a machine that nobody else uses: one of make vmtest's.
var VM = check(func() (bool, error) { return os.Getenv("SELFTEST_VM") != "", nil },
	"a CPU is switched off only in a virtual machine, by make vmtest")

// Map is a kernel with maps of that type.
func Map(kind bpf.MapType) Need {
	return check(func() (bool, error) { return bpf.BPFMapTypeIsSupported(kind) },
		fmt.Sprintf("the kernel has no maps of %v", kind))
}

// Libbpf is a libbpf of that version or a newer one.
func Libbpf(major, minor int) Need {
	return check(func() (bool, error) {
		return bpf.MajorVersion() > major || bpf.MajorVersion() == major && bpf.MinorVersion() >= minor, nil
	}, fmt.Sprintf("libbpf is %s, older than v%d.%d", bpf.LibbpfVersionString(), major, minor))
}

// Network is a network namespace of the case's own, whose loopback interface is up.
func Network(_ *Test, run func() error) error {
	if err := EnterNetwork(); err != nil {
		return lack(err, unix.EPERM, unix.EINVAL)
	}
	return run()
}

// EnterNetwork puts the calling thread, and no other, into a network namespace of its own, whose loopback
// interface it brings up.
func EnterNetwork() error {
	runtime.LockOSThread() // for good
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	return up("lo")
}

// Pair is two network interfaces of a kind ("veth", "netkit"), each of which receives what the other sends. The case
// needs [Network] before, where they are made.
func Pair(kind, name, peer string) Need {
	return func(_ *Test, run func() error) error {
		if err := makePair(kind, name, peer); err != nil {
			return lack(err, unix.EOPNOTSUPP)
		}
		return run()
	}
}

// Cgroup is a cgroup (version 2) of the case's own, in which its process is.
func Cgroup(t *Test, run func() error) error {
	return withMount("cgroup2", func(root string) (err error) {
		t.Cgroup = filepath.Join(root, "selftest-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(t.Cgroup, 0o755); err != nil {
			return err
		}
		move := func(to string) error {
			return os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte("0"), 0)
		}
		if err := move(t.Cgroup); err != nil {
			return errors.Join(err, os.Remove(t.Cgroup))
		}
		defer func() { err = errors.Join(err, move(root), os.Remove(t.Cgroup)) }()
		return run()
	})
}

// BPFFS is a BPF file system of the case's own.
func BPFFS(t *Test, run func() error) error {
	return withMount("bpf", func(path string) error {
		t.BPFFS = path
		return run()
	})
}

// withMount runs test with a folder where a file system of that type is mounted.
func withMount(fstype string, test func(path string) error) (err error) {
	path, err := os.MkdirTemp("", "selftest")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	if err := unix.Mount("none", path, fstype, 0, ""); err != nil {
		return lack(fmt.Errorf("mount %s: %w", fstype, err), unix.EPERM, unix.ENODEV)
	}
	defer func() { err = errors.Join(err, unix.Unmount(path, unix.MNT_DETACH)) }()
	return test(path)
}
