package libbpfgo

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// cgroup2 returns where cgroups of version 2 are mounted.
func cgroup2(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	t.Skip("no cgroup file system of version 2 is mounted")
	return ""
}

// newCgroup makes a cgroup and returns its folder.
func newCgroup(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(cgroup2(t), "libbpfgo-test-")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		t.Skipf("no cgroup can be made: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ownCgroup moves the process into a cgroup of its own, until the test's end, and returns its folder.
func ownCgroup(t *testing.T) string {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, before, _ := strings.Cut("\n"+string(groups), "\n0::")
	before, _, _ = strings.Cut(before, "\n")
	dir := newCgroup(t)
	move := func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { move(filepath.Join(filepath.Dir(dir), before)) })
	move(dir)
	return dir
}

func TestAttachCgroupOpts(t *testing.T) {
	needAttach(t, 6, "on_connect", func(prog *BPFProg) error {
		_, err := prog.AttachCgroupOpts("/", OrderOpts{})
		return err
	})
	cgroup := ownCgroup(t)
	m := loadAttach(t, "on_connect")
	prog := getProgram(t, m, "on_connect")
	inOwnNetwork(t, func() {
		link, err := prog.AttachCgroupOpts(cgroup, OrderOpts{Flags: BPFFBefore})
		needKernel(t, err, 6, 17)
		wantCalls(t, m, callsCgroup, link, err, func() { connect(t) })
	})
	_, err := prog.AttachCgroupOpts(cgroup, OrderOpts{ExpectedRevision: 1 << 40})
	wantErr(t, err, syscall.ESTALE, "on_connect", cgroup)
}

func TestAttachCgroupLegacy(t *testing.T) {
	cgroup := ownCgroup(t)
	m := loadAttach(t, "on_connect", "on_skb")
	skb := getProgram(t, m, "on_skb")
	inOwnNetwork(t, func() {
		link, err := getProgram(t, m, "on_connect").AttachCgroupLegacy(cgroup, BPFAttachTypeCgroupInet4Connect)
		if err == nil {
			wantErr(t, link.DestroyLegacy(CgroupLegacy), syscall.EINVAL, "no legacy link")
		}
		wantCalls(t, m, callsCgroup, link, err, func() { connect(t) })

		// A link would attach it to what comes in.
		link, err = skb.AttachCgroupLegacy(cgroup, BPFAttachTypeCgroupInetEgress)
		if err == nil {
			if fd := link.FileDescriptor(); fd != -1 {
				t.Errorf("the descriptor of no link is %d", fd)
			}
			wantErr(t, link.Pin("/sys/fs/bpf/nothing"), errors.ErrUnsupported, "without a link")
			_, err := link.Reader()
			wantErr(t, err, errors.ErrUnsupported, "without a link")
		}
		wantCalls(t, m, callsSKB, link, err, func() { ping(t) })

		leaksNothing(t, func() {
			_, err = skb.AttachCgroupLegacy("/nothing", BPFAttachTypeCgroupInetEgress)
			wantErr(t, err, syscall.ENOENT, "on_skb", "/nothing")
			_, err = skb.AttachCgroupLegacy(cgroup, BPFAttachTypeXDP)
			wantErr(t, err, syscall.EINVAL, "on_skb", cgroup)
			wantErr(t, skb.DetachCgroupLegacy(cgroup, BPFAttachTypeCgroupInetEgress), syscall.ENOENT, "on_skb", cgroup)
		})

		// Without links, several programs are attached together, here and below.
		other := getProgram(t, loadAttach(t, "on_skb"), "on_skb")
		var links []*BPFLink
		for _, prog := range []*BPFProg{skb, other} {
			link, err := prog.AttachCgroupLegacy(cgroup, BPFAttachTypeCgroupInetEgress)
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, link)
		}
		before := calls(t, m, callsSKB)
		ping(t)
		if calls(t, m, callsSKB) == before || calls(t, other.GetModule(), callsSKB) == 0 {
			t.Error("one of two programs didn't run")
		}
		for _, link := range links {
			if err := link.Destroy(); err != nil {
				t.Error(err)
			}
		}

		// The module detaches what is left.
		if _, err := skb.AttachCgroupLegacy(cgroup, BPFAttachTypeCgroupInetEgress); err != nil {
			t.Fatal(err)
		}
		info, err := GetMapInfoByFD(getMap(t, m, "calls").FileDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		counters, err := GetMapByID(info.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer counters.Close()
		count := func() uint64 {
			ping(t)
			key := uint32(callsSKB)
			value, err := counters.GetValue(unsafe.Pointer(&key))
			if err != nil {
				t.Fatal(err)
			}
			return binary.NativeEndian.Uint64(value)
		}
		before = count()
		attached := count()
		m.Close()
		if detached := count(); attached == before || detached != attached {
			t.Errorf("%d calls, then %d, then after Close %d", before, attached, detached)
		}
	})
}
