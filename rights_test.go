package libbpfgo

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread that ends with it. The process's first thread would stay as f has left it, and
// /proc/self is its view: another thread is taken while that one is held.
func onThread(f func() error) error {
	ended := make(chan error)
	go func() {
		defer close(ended)     // also if f fails the test
		runtime.LockOSThread() // for good, unless it is the first thread
		if unix.Gettid() == os.Getpid() {
			ended <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		ended <- f()
	}()
	return <-ended
}

// withCapabilities runs f on a thread that has these of the process's capabilities.
func withCapabilities(t *testing.T, capabilities []capability, f func()) {
	t.Helper()
	err := onThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var halves [2]unix.CapUserData
		if err := unix.Capget(&header, &halves[0]); err != nil {
			return err
		}
		halves[0].Effective, halves[1].Effective = 0, 0
		for _, c := range capabilities {
			halves[c/32].Effective |= 1 << (c % 32)
		}
		if err := unix.Capset(&header, &halves[0]); err != nil {
			return err
		}
		f()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inRoot runs f on a thread for which dir, that has no /proc, is the root of all paths.
func inRoot(t *testing.T, dir string, f func()) {
	t.Helper()
	err := onThread(func() error {
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(dir)); err != nil {
			return err
		}
		f()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Where /proc isn't mounted, root isn't told that it lacks rights.
func TestRightsWithoutProc(t *testing.T) {
	needBPF(t)
	image := readFile(t, "testdata/main.bpf.o")
	inRoot(t, t.TempDir(), func() {
		if ok, err := BPFHelperIsSupported(BPFProgTypeSocketFilter, 9999); ok || err != nil {
			t.Errorf("helper 9999: %v, %v", ok, err)
		}
		m, err := NewModuleFromBuffer(image, "main")
		if err != nil {
			t.Error(err)
			return
		}
		defer m.Close()
		if err := m.BPFLoadObject(); err != nil {
			t.Error(err)
		}
	})
}

// leaveDescriptors makes n descriptors free and returns what undoes it.
func leaveDescriptors(t *testing.T, n int) (undo func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	for limit.Cur = 0; n > 0; limit.Cur++ {
		if _, err := unix.FcntlInt(uintptr(limit.Cur), unix.F_GETFD, 0); err != nil {
			n--
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
}

// wantAllFeatures fails unless libbpf uses what the kernel has.
func wantAllFeatures(t *testing.T) {
	t.Helper()
	created, err := CreateMap(MapTypeArray, "with_a_name", 4, 4, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer created.Close()
	if created.Name() != "with_a_name" {
		t.Errorf("the map's name is %q", created.Name())
	}
	m := loadMain(t)
	info, err := GetMapInfoByFD(getMap(t, m, "numbers").FileDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != "numbers" || info.BTFKeyTypeID == 0 {
		t.Errorf("the map's name is %q, its key has the BTF type %d", info.Name, info.BTFKeyTypeID)
	}
	// Without links of perf events, there is no cookie.
	needTracefs(t)
	link, err := getProgram(t, m, "count_tracepoint").AttachTracepointOpts("syscalls", "sys_enter_getpgid", TracepointOpts{Cookie: 1})
	if err != nil {
		t.Error(err)
	} else if err := link.Destroy(); err != nil {
		t.Error(err)
	}
}

// What a process was refused for want of descriptors or rights, it can do once it has them.
func TestProcessRecovers(t *testing.T) {
	if !isChild(t.Name()) {
		needBPF(t)
		obstacles := []string{"create", "no rights", "CAP_BPF", "probe"}
		step := 1
		if testing.Short() {
			step = 5
		}
		for free := 0; free < 20; free += step {
			obstacles = append(obstacles, strconv.Itoa(free))
		}
		for _, obstacle := range obstacles {
			t.Run(obstacle, func(t *testing.T) { inChild(t, "TestProcessRecovers", "LIBBPFGO_TEST_OBSTACLE="+obstacle) })
		}
		return
	}
	obstacle := os.Getenv("LIBBPFGO_TEST_OBSTACLE")
	m := openMain(t)
	switch obstacle {
	case "create":
		withCapabilities(t, nil, func() {
			_, err := CreateMap(MapTypeArray, "with_a_name", 4, 4, 1, nil)
			wantErr(t, err, syscall.EPERM, "with_a_name")
		})
		undo := leaveDescriptors(t, 0)
		_, err := CreateMap(MapTypeArray, "with_a_name", 4, 4, 1, nil)
		undo()
		wantErr(t, err, syscall.EMFILE, "with_a_name")
	case "no rights":
		withCapabilities(t, nil, func() {
			wantErr(t, m.BPFLoadObject(), syscall.EPERM, "main.bpf.o", "CAP_BPF and CAP_PERFMON")
		})
	case "CAP_BPF":
		withCapabilities(t, []capability{unix.CAP_BPF}, func() {
			wantErr(t, m.BPFLoadObject(), syscall.EPERM, "main.bpf.o", "CAP_PERFMON")
		})
	case "probe":
		withCapabilities(t, nil, func() {
			_, err := BPFMapTypeIsSupported(MapTypeHash)
			wantErr(t, err, syscall.EPERM)
		})
	default:
		free, err := strconv.Atoi(obstacle)
		if err != nil {
			t.Fatal(err)
		}
		undo := leaveDescriptors(t, free)
		err = m.BPFLoadObject()
		undo()
		if err != nil {
			wantErr(t, err, syscall.EMFILE, "main.bpf.o")
		}
	}
	wantAllFeatures(t)
}

// A program that may trace, but was loaded without the right to, can be loaded after it.
func TestRefusedLoadCanBeRepeated(t *testing.T) {
	m := openMain(t)
	withCapabilities(t, []capability{unix.CAP_BPF, unix.CAP_NET_ADMIN}, func() {
		wantErr(t, m.BPFLoadObject(), syscall.EPERM, "program \"", "CAP_PERFMON")
		if needLibbpf(1, 6, "") == nil {
			wantErr(t, m.Prepare(), syscall.EPERM, "CAP_PERFMON")
		}
	})
	if err := m.BPFLoadObject(); err != nil {
		t.Error(err)
	}
}

// What the rights are enough for is not refused.
func TestLoadWithTheRightsNeeded(t *testing.T) {
	needBPF(t)
	withCapabilities(t, []capability{unix.CAP_BPF, unix.CAP_NET_ADMIN}, func() {
		if _, err := tryLoadAttach(t, "on_xdp"); err != nil {
			t.Error(err)
		}
	})
	withCapabilities(t, []capability{unix.CAP_BPF, unix.CAP_PERFMON}, func() {
		m := openMain(t)
		if err := m.BPFLoadObject(); err != nil {
			t.Error(err)
		}
	})
	withCapabilities(t, []capability{unix.CAP_SYS_ADMIN}, func() {
		m := openMain(t)
		if err := m.BPFLoadObject(); err != nil {
			t.Error(err)
		}
	})
}

// The load asks for as many descriptors as its comment says.
func TestLoadNeedsDescriptors(t *testing.T) {
	m := openMain(t)
	needed := 6
	for it := m.Iterator(); ; needed++ {
		if it.NextProgram() == nil {
			break
		}
	}
	if needLibbpf(1, 4, "") != nil {
		for it := m.Iterator(); it.NextMap() != nil; {
			needed++
		}
	}
	undo := leaveDescriptors(t, needed-1)
	err := m.BPFLoadObject()
	undo()
	wantErr(t, err, syscall.EMFILE, fmt.Sprintf("needs %d descriptors, %d are free", needed, needed-1))
	undo = leaveDescriptors(t, needed)
	err = m.BPFLoadObject()
	undo()
	if err != nil {
		t.Error(err)
	}
}

// libbpf tries what it needs for system calls and static tracepoints when it attaches.
func TestAttachThatTries(t *testing.T) {
	m := loadAttach(t, "on_kprobe", "on_uprobe")
	withCapabilities(t, nil, func() {
		_, err := getProgram(t, m, "on_kprobe").AttachKsyscall("getpgid", KsyscallOpts{})
		wantErr(t, err, syscall.EPERM, "getpgid", "CAP_PERFMON")
	})
	defer leaveDescriptors(t, 0)()
	_, err := getProgram(t, m, "on_kprobe").AttachKsyscall("getpgid", KsyscallOpts{})
	wantErr(t, err, syscall.EMFILE, "getpgid", "RLIMIT_NOFILE")
	_, err = getProgram(t, m, "on_uprobe").AttachUSDT(-1, "/bin/true", "provider", "name")
	wantErr(t, err, syscall.EMFILE, "provider:name", "RLIMIT_NOFILE")
}

func TestProbesWithoutRights(t *testing.T) {
	needBPF(t)
	probes := map[string]func() (bool, error){
		"hashes":           func() (bool, error) { return BPFMapTypeIsSupported(MapTypeHash) },
		"task storage":     func() (bool, error) { return BPFMapTypeIsSupported(MapTypeTaskStorage) },
		"XDP":              func() (bool, error) { return BPFProgramTypeIsSupported(BPFProgTypeXdp) },
		"socket filters":   func() (bool, error) { return BPFProgramTypeIsSupported(BPFProgTypeSocketFilter) },
		"tracing":          func() (bool, error) { return BPFProgramTypeIsSupported(BPFProgTypeTracing) },
		"redirect in XDP":  func() (bool, error) { return BPFHelperIsSupported(BPFProgTypeXdp, BPFFuncRedirect) },
		"no helper at all": func() (bool, error) { return BPFHelperIsSupported(BPFProgTypeSocketFilter, 9999) },
	}
	withCapabilities(t, nil, func() {
		for what, probe := range probes {
			supported, err := probe()
			if supported {
				t.Errorf("%s are supported", what)
			}
			wantErr(t, err, syscall.EPERM, "CAP_BPF")
		}
	})
	undo := leaveDescriptors(t, 0)
	defer undo()
	for what, probe := range probes {
		supported, err := probe()
		if what != "tracing" && what != "no helper at all" && (supported || !errors.Is(err, syscall.EMFILE)) {
			t.Errorf("%s without descriptors: %v, %v", what, supported, err)
		}
	}
}

func TestProbeOfUnknownHelper(t *testing.T) {
	needBPF(t)
	for _, progType := range []BPFProgType{BPFProgTypeUnspec, BPFProgTypeSocketFilter, BPFProgTypeKprobe, BPFProgTypeLircMode2} {
		if supported, err := BPFHelperIsSupported(progType, 9999); supported || err != nil {
			t.Errorf("%v: %v, %v", progType, supported, err)
		}
	}
}

// The kernel asks for the capabilities that are named for a type of program, for each of them and no others.
func TestCapabilitiesForTypes(t *testing.T) {
	needBPF(t)
	if kernelBefore(5, 8) {
		t.Skip("before Linux 5.8, CAP_SYS_ADMIN stands for all of them")
	}
	for progType := BPFProgTypeSocketFilter; progType <= BPFProgTypeNetfilter; progType++ {
		if supported, err := BPFProgramTypeIsSupported(progType); !supported {
			t.Logf("%v: %v, %v", progType, supported, err)
			continue
		}
		needed := capabilitiesFor(progType)
		if len(needed) == 0 {
			continue // it depends on kernel.unprivileged_bpf_disabled
		}
		withCapabilities(t, needed, func() {
			if supported, err := BPFProgramTypeIsSupported(progType); !supported {
				t.Errorf("%v with %s: %v, %v", progType, namesOf(needed), supported, err)
			}
		})
		for i := range needed {
			withCapabilities(t, slices.Delete(slices.Clone(needed), i, i+1), func() {
				supported, err := BPFProgramTypeIsSupported(progType)
				if supported {
					t.Errorf("%v is supported without %v", progType, needed[i])
				}
				wantErr(t, err, syscall.EPERM, needed[i].String())
			})
		}
	}
}

// The number is named, as all types and functions without a name have that of 0.
func TestProbeOfUnknownNumbers(t *testing.T) {
	needBPF(t)
	_, err := BPFMapTypeIsSupported(9998)
	wantErr(t, err, errors.ErrUnsupported, "9998")
	_, err = BPFProgramTypeIsSupported(9997)
	wantErr(t, err, errors.ErrUnsupported, "9997")
	_, err = BPFHelperIsSupported(9997, 9999)
	wantErr(t, err, errors.ErrUnsupported, "9999", "9997")
}

func TestCapabilityNames(t *testing.T) {
	for progType, want := range map[BPFProgType]string{
		BPFProgTypeSocketFilter: "",
		BPFProgTypeSkReuseport:  "CAP_BPF",
		BPFProgTypeKprobe:       "CAP_BPF and CAP_PERFMON",
		BPFProgTypeXdp:          "CAP_BPF and CAP_NET_ADMIN",
		BPFProgTypeNetfilter:    "CAP_BPF and CAP_NET_ADMIN",
		BPFProgTypeExt:          "CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN",
	} {
		if got := namesOf(capabilitiesFor(progType)); got != want && !kernelBefore(5, 8) {
			t.Errorf("%v needs %q, want %q", progType, got, want)
		}
	}
	if got := capability(63).String(); !strings.Contains(got, "63") {
		t.Error(got)
	}
}
