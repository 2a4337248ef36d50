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

// A Need provides something that a case needs, calls run, which runs the case, and cleans up. If the machine can't
// provide it, the Need skips the case.
type Need func(t *Test, run func() error) error

// skipIf returns err as a reason to skip the case if err is one of refusals, and unchanged otherwise.
func skipIf(err error, refusals ...error) error {
	if slices.ContainsFunc(refusals, func(refusal error) bool { return errors.Is(err, refusal) }) {
		return &skip{err}
	}
	return err
}

// check returns a Need that only tests the machine. If test returns false, the case is skipped with the reason lacks.
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

// LSM needs a kernel that runs BPF programs at its security hooks. If the list of active security modules can't be
// read, the case runs.
var LSM = check(func() (bool, error) {
	active, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		return true, nil
	}
	return slices.Contains(strings.Split(strings.TrimSpace(string(active)), ","), "bpf"), nil
}, "bpf isn't among the active security modules")

// VM needs a machine that nobody else uses: a virtual machine of make vmtest.
var VM = check(func() (bool, error) { return os.Getenv("SELFTEST_VM") != "", nil },
	"a CPU is switched off only in a virtual machine, by make vmtest")

// Map needs a kernel that supports maps of a type.
func Map(kind bpf.MapType) Need {
	return check(func() (bool, error) { return bpf.BPFMapTypeIsSupported(kind) },
		fmt.Sprintf("the kernel has no maps of %v", kind))
}

// Libbpf needs a libbpf of the given version or newer.
func Libbpf(major, minor int) Need {
	return check(func() (bool, error) {
		return bpf.MajorVersion() > major || bpf.MajorVersion() == major && bpf.MinorVersion() >= minor, nil
	}, fmt.Sprintf("libbpf is %s, older than v%d.%d", bpf.LibbpfVersionString(), major, minor))
}

// Network provides a new network namespace with its loopback interface up.
func Network(_ *Test, run func() error) error {
	if err := EnterNetwork(); err != nil {
		return skipIf(err, unix.EPERM, unix.EINVAL)
	}
	return run()
}

// EnterNetwork moves the calling thread, and no other, into a new network namespace and brings its loopback interface
// up.
func EnterNetwork() error {
	runtime.LockOSThread() // never unlocked: the thread stays in the namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	return up("lo")
}

// Pair provides a pair of connected network interfaces of a kind ("veth", "netkit"): each receives what the other
// sends. It must follow [Network], in whose namespace they are created.
func Pair(kind, name, peer string) Need {
	return func(_ *Test, run func() error) error {
		if err := makePair(kind, name, peer); err != nil {
			return skipIf(err, unix.EOPNOTSUPP)
		}
		return run()
	}
}

// Cgroup provides a new cgroup (version 2) and moves the process into it.
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

// BPFFS provides a new BPF file system.
func BPFFS(t *Test, run func() error) error {
	return withMount("bpf", func(path string) error {
		t.BPFFS = path
		return run()
	})
}

// withMount mounts a file system of a type on a new folder and calls test with its path.
func withMount(fstype string, test func(path string) error) (err error) {
	path, err := os.MkdirTemp("", "selftest")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	if err := unix.Mount("none", path, fstype, 0, ""); err != nil {
		return skipIf(fmt.Errorf("mount %s: %w", fstype, err), unix.EPERM, unix.ENODEV)
	}
	defer func() { err = errors.Join(err, unix.Unmount(path, unix.MNT_DETACH)) }()
	return test(path)
}
