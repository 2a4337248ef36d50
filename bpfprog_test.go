package libbpfgo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func getProgram(t testing.TB, m *Module, name string) *BPFProg {
	t.Helper()
	prog, err := m.GetProgram(name)
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

// Each kind of attachment works while the link is there and has no effect any more after Destroy.
func TestAttachHasEffect(t *testing.T) {
	needTracefs(t)
	for name, attach := range map[string]func(*Module) (*BPFLink, error){
		"raw tracepoint": func(m *Module) (*BPFLink, error) {
			return getProgram(t, m, "count").AttachRawTracepoint("sys_enter")
		},
		"raw tracepoint by section": func(m *Module) (*BPFLink, error) { return getProgram(t, m, "count").AttachGeneric() },
		"tracepoint": func(m *Module) (*BPFLink, error) {
			return getProgram(t, m, "count_tracepoint").AttachTracepoint("syscalls", "sys_enter_getpgid")
		},
		"tracepoint by section": func(m *Module) (*BPFLink, error) {
			return getProgram(t, m, "count_tracepoint").AttachGeneric()
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := loadMain(t)
			numbers := getMap(t, m, "numbers")
			trigger(0)
			if n := counted(t, numbers); n != 0 {
				t.Fatalf("counted %d before it was attached", n)
			}
			link, err := attach(m)
			if err != nil {
				t.Fatal(err)
			}
			if fd := link.FileDescriptor(); fd < 0 {
				t.Errorf("link's descriptor is %d", fd)
			}
			for range 10 {
				trigger(0)
			}
			attached := counted(t, numbers)
			if attached < 10 {
				t.Errorf("counted %d, want 10 at least", attached)
			}
			if err := link.Destroy(); err != nil {
				t.Fatal(err)
			}
			attached = counted(t, numbers)
			for range 10 {
				trigger(0)
			}
			if n := counted(t, numbers); n != attached {
				t.Errorf("counted %d after Destroy, %d before", n, attached)
			}
		})
	}
}

func TestAttachErrors(t *testing.T) {
	needTracefs(t)
	m := openMain(t)
	count := getProgram(t, m, "count")
	tracepoint := getProgram(t, m, "count_tracepoint")
	left := getProgram(t, m, "send_many")
	if !left.Autoload() {
		t.Error("programs aren't loaded by themselves")
	}
	if err := left.SetAutoload(false); err != nil || left.Autoload() {
		t.Error(err, left.Autoload())
	}
	if fd := count.FileDescriptor(); fd >= 0 {
		t.Errorf("descriptor of a program that isn't loaded is %d", fd)
	}
	_, err := count.AttachGeneric()
	wantErr(t, err, syscall.EINVAL, `"count"`, "can't attach")
	_, err = tracepoint.AttachTracepoint("syscalls", "sys_enter_getpgid")
	wantErr(t, err, syscall.EINVAL, `"count_tracepoint"`, `"syscalls:sys_enter_getpgid"`)
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	leaksNothing(t, func() {
		_, err := left.AttachGeneric()
		wantErr(t, err, syscall.EINVAL, `"send_many"`)
		wantErr(t, left.SetAutoload(true), syscall.EINVAL, `"send_many"`)
		_, err = tracepoint.AttachTracepoint("syscalls", "sys_enter_nothing")
		wantErr(t, err, syscall.ENOENT, `tracepoint "syscalls:sys_enter_nothing"`)
		_, err = tracepoint.AttachTracepoint("", "")
		wantErr(t, err, syscall.ENOENT, "count_tracepoint")
		_, err = tracepoint.AttachTracepoint("syscalls\x00", "x")
		wantErr(t, err, syscall.EINVAL, "zero byte")
		_, err = count.AttachRawTracepoint("nothing")
		wantErr(t, err, syscall.ENOENT, `raw tracepoint "nothing"`)
		_, err = count.AttachRawTracepoint("a\x00b")
		wantErr(t, err, syscall.EINVAL, "zero byte")
		_, err = count.AttachTracepoint("syscalls", "sys_enter_getpgid")
		wantErr(t, err, syscall.EINVAL, `"count"`, `"syscalls:sys_enter_getpgid"`)
	})

	// A program can't be attached twice to the same place, and the first link is not disturbed.
	link, err := tracepoint.AttachTracepoint("syscalls", "sys_enter_getpgid")
	if err != nil {
		t.Fatal(err)
	}
	leaksNothing(t, func() {
		_, err := tracepoint.AttachTracepoint("syscalls", "sys_enter_getpgid")
		wantErr(t, err, syscall.EEXIST, `"count_tracepoint"`, `"syscalls:sys_enter_getpgid"`)
	})
	trigger(0)
	if n := counted(t, getMap(t, m, "numbers")); n != 1 {
		t.Errorf("counted %d", n)
	}
	if err := link.Destroy(); err != nil {
		t.Error(err)
	}
	if _, err := tracepoint.AttachTracepoint("syscalls", "sys_enter_getpgid"); err != nil {
		t.Error(err)
	}
}

// The error of a tracepoint names tracefs where tracefs is what can't be read, and not otherwise.
func TestAttachTracepointWithoutRights(t *testing.T) {
	needTracefs(t)
	m := loadMain(t)
	for name, attach := range map[string]func() (*BPFLink, error){
		"by name": func() (*BPFLink, error) {
			return getProgram(t, m, "count_tracepoint").AttachTracepoint("syscalls", "sys_enter_getpgid")
		},
		"by section": func() (*BPFLink, error) { return getProgram(t, m, "send_many").AttachGeneric() },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := withoutCapabilities(t, attach, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH)
			wantErr(t, err, syscall.EACCES, "tracefs", "CAP_DAC_READ_SEARCH", "mode=750,gid=")
			link, err := withoutCapabilities(t, attach, unix.CAP_PERFMON, unix.CAP_SYS_ADMIN)
			if err == nil {
				// perf_event_paranoid is below 1.
				if err := link.Destroy(); err != nil {
					t.Error(err)
				}
				return
			}
			wantErr(t, err, os.ErrPermission, "perf_event_open")
			if strings.Contains(err.Error(), "CAP_DAC_READ_SEARCH") {
				t.Errorf("the error of a missing CAP_PERFMON is %v", err)
			}
		})
	}
}

// withoutCapabilities calls attach in a thread that has neither these capabilities nor root's files.
func withoutCapabilities(t *testing.T, attach func() (*BPFLink, error), capabilities ...uint) (link *BPFLink, err error) {
	t.Helper()
	done := make(chan error)
	go func() {
		// The thread ends with the goroutine, which doesn't unlock it.
		runtime.LockOSThread()
		done <- func() error {
			const nobody = 65534
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			if err := unix.Capget(&header, &data[0]); err != nil {
				return err
			}
			if err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody)); err != nil {
				return err
			}
			for _, c := range capabilities {
				data[c/32].Effective &^= 1 << (c % 32)
			}
			if err := unix.Capset(&header, &data[0]); err != nil {
				return err
			}
			link, err = attach()
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return link, err
}

// A raw tracepoint takes a program twice, on kernels before 6.10 it says that it is there already.
func TestAttachRawTracepointTwice(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	prog := getProgram(t, m, "count")
	first, err := prog.AttachRawTracepoint("sys_enter")
	if err != nil {
		t.Fatal(err)
	}
	leaksNothing(t, func() {
		second, err := prog.AttachRawTracepoint("sys_enter")
		if err != nil {
			wantErr(t, err, syscall.EEXIST, `"count"`, `"sys_enter"`)
			return
		}
		if err := second.Destroy(); err != nil {
			t.Error(err)
		}
	})
	before := counted(t, numbers)
	trigger(0)
	if counted(t, numbers) == before {
		t.Error("the first link is gone")
	}
	if err := first.Destroy(); err != nil {
		t.Error(err)
	}
}

// notLoadedCalls returns, by the names of the methods that attach a program, a program of the right type and a call with
// a target that is there and takes it.
func notLoadedCalls(t *testing.T, cgroup string) map[string]struct {
	program string
	attach  func(*BPFProg) error
} {
	t.Helper()
	type call = struct {
		program string
		attach  func(*BPFProg) error
	}
	link := func(program string, attach func(*BPFProg) (*BPFLink, error)) call {
		return call{program, func(prog *BPFProg) error {
			link, err := attach(prog)
			if err == nil {
				err = errors.Join(errors.New("it was attached"), link.Destroy())
			}
			return err
		}}
	}
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	event, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
	}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(dir.Close(), unix.Close(event)) })
	others := loadAttach(t, "on_xdp")
	calls, sockets, replaced := getMap(t, others, "calls").FileDescriptor(), getMap(t, others, "sockets").FileDescriptor(), getProgram(t, others, "on_xdp").FileDescriptor()
	file := t.TempDir() + "/target"
	if err := os.WriteFile(file, buildTarget(targetSpec{}), 0o755); err != nil {
		t.Fatal(err)
	}
	const system, all = "getpgid", -1
	function := map[string]string{"amd64": "__x64_sys_getpgid", "arm64": "__arm64_sys_getpgid"}[runtime.GOARCH]
	functionAddress := kernelAddress(t, function)
	offsets := []uint64{firstAt, secondAt}
	netfilter := NetfilterOpts{ProtocolFamily: unix.AF_INET}

	return map[string]call{
		"AttachGeneric": link("on_trace", (*BPFProg).AttachGeneric),
		"AttachTracepoint": link("on_tracepoint", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachTracepoint("syscalls", "sys_enter_getpgid")
		}),
		"AttachTracepointOpts": link("on_tracepoint", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachTracepointOpts("syscalls", "sys_enter_getpgid", TracepointOpts{})
		}),
		"AttachRawTracepoint": link("on_raw_tracepoint", func(p *BPFProg) (*BPFLink, error) { return p.AttachRawTracepoint("sys_enter") }),
		"AttachRawTracepointOpts": link("on_raw_tracepoint", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachRawTracepointOpts("sys_enter", RawTracepointOpts{})
		}),
		"AttachTraceOpts": link("on_trace", func(p *BPFProg) (*BPFLink, error) { return p.AttachTraceOpts(TraceOpts{}) }),
		"AttachFreplace":  link("on_packet", func(p *BPFProg) (*BPFLink, error) { return p.AttachFreplace(replaced, "on_xdp") }),
		"AttachLSM":       link("on_trace", (*BPFProg).AttachLSM),
		"AttachPerfEvent": link("on_perf_event", func(p *BPFProg) (*BPFLink, error) { return p.AttachPerfEvent(event) }),
		"AttachPerfEventOpts": link("on_perf_event", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachPerfEventOpts(event, PerfEventOpts{})
		}),
		"AttachKprobe":            link("on_kprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachKprobe(function) }),
		"AttachKretprobe":         link("on_kprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachKretprobe(function) }),
		"AttachKprobeOffset":      link("on_kprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachKprobeOffset(functionAddress) }),
		"AttachKretprobeOnOffset": link("on_kprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachKretprobeOnOffset(functionAddress) }),
		"AttachKprobeOpts":        link("on_kprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachKprobeOpts(function, KprobeOpts{}) }),
		"AttachKsyscall":          link("on_kprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachKsyscall(system, KsyscallOpts{}) }),
		"AttachKprobeMultiOpts": link("on_kprobe", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{function}})
		}),
		"AttachUprobe":            link("on_uprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachUprobe(all, file, firstAt) }),
		"AttachURetprobe":         link("on_uprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachURetprobe(all, file, firstAt) }),
		"AttachUprobeWithOpts":    link("on_uprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachUprobeWithOpts(all, file, firstAt, 0) }),
		"AttachURetprobeWithOpts": link("on_uprobe", func(p *BPFProg) (*BPFLink, error) { return p.AttachURetprobeWithOpts(all, file, firstAt, 0) }),
		"AttachUprobeOpts": link("on_uprobe", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachUprobeOpts(all, file, 0, UprobeOpts{FuncName: "first"})
		}),
		"AttachUprobeMulti": link("on_uprobe_multi", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachUprobeMulti(all, file, offsets, nil)
		}),
		"AttachURetprobeMulti": link("on_uprobe_multi", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachURetprobeMulti(all, file, offsets, nil)
		}),
		"AttachUprobeMultiOpts": link("on_uprobe_multi", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachUprobeMultiOpts(all, file, "", UprobeMultiOpts{Symbols: []string{"first"}})
		}),
		"AttachUSDT": link("on_tracepoint", func(p *BPFProg) (*BPFLink, error) { return p.AttachUSDT(all, file, "test", "probe") }),
		"AttachUSDTOpts": link("on_tracepoint", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachUSDTOpts(all, file, "test", "probe", USDTOpts{})
		}),
		"AttachXDP":        link("on_xdp", func(p *BPFProg) (*BPFLink, error) { return p.AttachXDP("lo") }),
		"AttachTCX":        link("on_tcx", func(p *BPFProg) (*BPFLink, error) { return p.AttachTCX("lo", OrderOpts{}) }),
		"AttachNetkit":     link("on_netkit", func(p *BPFProg) (*BPFLink, error) { return p.AttachNetkit("lo", OrderOpts{}) }),
		"AttachNetfilter":  link("on_netfilter", func(p *BPFProg) (*BPFLink, error) { return p.AttachNetfilter(netfilter) }),
		"AttachSockMap":    link("on_message", func(p *BPFProg) (*BPFLink, error) { return p.AttachSockMap(sockets) }),
		"AttachCgroup":     link("on_connect", func(p *BPFProg) (*BPFLink, error) { return p.AttachCgroup(cgroup) }),
		"AttachCgroupOpts": link("on_connect", func(p *BPFProg) (*BPFLink, error) { return p.AttachCgroupOpts(cgroup, OrderOpts{}) }),
		"AttachCgroupLegacy": link("on_connect", func(p *BPFProg) (*BPFLink, error) {
			return p.AttachCgroupLegacy(cgroup, BPFAttachTypeCgroupInet4Connect)
		}),
		"AttachXDPLegacy": {"on_xdp", func(p *BPFProg) error { return p.AttachXDPLegacy("lo", XDPFlagsSkbMode) }},
		"AttachNetns":     link("on_lookup", func(p *BPFProg) (*BPFLink, error) { return p.AttachNetns("/proc/thread-self/ns/net") }),
		"AttachIter":      link("on_element", func(p *BPFProg) (*BPFLink, error) { return p.AttachIter(IterOpts{MapFd: calls}) }),
		"AttachGenericFD": {"on_connect", func(p *BPFProg) error {
			return p.AttachGenericFD(int(dir.Fd()), BPFAttachTypeCgroupInet4Connect, BPFFNone)
		}},
	}
}

// kernelAddress returns the address of a function of the kernel; 0 if the kernel doesn't have it.
func kernelAddress(t *testing.T, function string) (address uint64) {
	t.Helper()
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(symbols)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == function {
			_, _ = fmt.Sscanf(fields[0], "%x", &address)
		}
	}
	return address
}

// Whatever it is to be attached to, a program that isn't loaded can't be, and the error says so.
func TestAttachWhatIsNotLoaded(t *testing.T) {
	needTracefs(t)
	calls := notLoadedCalls(t, newCgroup(t))
	m := loadAttach(t)
	open := func(path string) *Module {
		m, err := NewModuleFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	replacing := getProgram(t, open("testdata/attach.bpf.o"), "on_packet")
	if err := replacing.SetType(BPFProgTypeExt); err != nil {
		t.Fatal(err)
	}
	tracing := getProgram(t, open("testdata/target.bpf.o"), "on_tracepoint") // which has the maps for that
	_, err := os.Stat("/sys/bus/event_source/devices/kprobe")
	hasKprobes := err == nil
	inOwnNetwork(t, func() {
		for i := range reflect.TypeFor[*BPFProg]().NumMethod() {
			method := reflect.TypeFor[*BPFProg]().Method(i)
			if !strings.HasPrefix(method.Name, "Attach") {
				continue
			}
			call, ok := calls[method.Name]
			if !ok {
				t.Errorf("%s has no call here", method.Name)
				continue
			}
			prog := getProgram(t, m, call.program)
			switch method.Name {
			case "AttachFreplace":
				prog = replacing
			case "AttachUSDT", "AttachUSDTOpts":
				prog = tracing
			}
			leaksNothing(t, func() {
				err := call.attach(prog)
				name := fmt.Sprintf("%q", call.program)
				switch {
				case olderLibbpf(err):
				case strings.Contains(method.Name, "Legacy"), method.Name == "AttachGenericFD":
					wantErr(t, err, syscall.EBADF, name, "isn't loaded")
				case !hasKprobes && strings.HasPrefix(method.Name, "AttachK") && method.Name != "AttachKprobeMultiOpts":
					// libbpf makes the probe before it looks at the program.
					wantErr(t, err, syscall.ENOENT, name)
				case errors.Is(err, syscall.EBADF): // by the kernel: older ones of libbpf ask it
					wantErr(t, err, syscall.EBADF, name, "isn't loaded")
				default:
					wantErr(t, err, syscall.EINVAL, name, "isn't loaded")
				}
			})
		}
	})
}

// A section that doesn't say what to attach to is nothing that libbpf attaches by itself.
func TestAttachGenericWithoutTarget(t *testing.T) {
	m := loadAttach(t, "on_uprobe")
	leaksNothing(t, func() {
		_, err := getProgram(t, m, "on_uprobe").AttachGeneric()
		wantErr(t, err, errors.ErrUnsupported, `"on_uprobe"`, `"uprobe"`)
	})
}

func TestProgramProperties(t *testing.T) {
	m := openMain(t)
	prog := getProgram(t, m, "count_tracepoint")
	if prog.Name() != "count_tracepoint" || prog.SectionName() != "tracepoint/syscalls/sys_enter_getpgid" ||
		prog.GetType().Name() != "tracepoint" || prog.GetModule() != m || prog.PinPath() != "" {
		t.Error(prog.Name(), prog.SectionName(), prog.GetType().Name(), prog.PinPath())
	}
}

func TestProgramPinning(t *testing.T) {
	dir := bpffs(t)
	m := openMain(t)
	prog := getProgram(t, m, "count")
	path := filepath.Join(dir, "prog")
	wantErr(t, prog.Pin(path), syscall.EINVAL, `"count"`, path)
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	if err := prog.Pin(path); err != nil {
		t.Fatal(err)
	}
	if prog.PinPath() != path {
		t.Error(prog.PinPath())
	}
	wantErr(t, prog.Pin(path), syscall.EEXIST, path)
	if err := prog.Unpin(path); err != nil || prog.PinPath() != "" {
		t.Error(err, prog.PinPath())
	}
	wantErr(t, prog.Unpin(path), syscall.ENOENT, path)
	t.Chdir(dir)
	if err := prog.Pin("prog"); err != nil || prog.PinPath() != path {
		t.Error(err, prog.PinPath())
	}
	if err := prog.Unpin(path); err != nil {
		t.Error(err)
	}
}

func TestLink(t *testing.T) {
	dir := bpffs(t)
	m := loadMain(t)
	link, err := getProgram(t, m, "count").AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "link")
	if link.PinPath() != "" {
		t.Error(link.PinPath())
	}
	wantErr(t, link.Unpin(), syscall.EINVAL, "unpin link")
	if err := link.Pin(path); err != nil {
		t.Fatal(err)
	}
	if link.PinPath() != path {
		t.Error(link.PinPath())
	}
	// A pinned link outlives its handle.
	numbers := getMap(t, m, "numbers")
	if err := link.Destroy(); err != nil {
		t.Fatal(err)
	}
	before := counted(t, numbers)
	trigger(0)
	if counted(t, numbers) == before {
		t.Error("a pinned link was detached")
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
	wantErr(t, link.Pin(path), os.ErrClosed, "sys_enter", path)

	link, err = getProgram(t, m, "count").AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	// Unpinned, it goes on until it is destroyed.
	if err := link.Pin(path); err != nil {
		t.Fatal(err)
	}
	wantErr(t, link.Pin(path+"2"), syscall.EBUSY, path+"2")
	if err := link.Unpin(); err != nil || link.PinPath() != "" {
		t.Error(err, link.PinPath())
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the pin is still there")
	}
	before = counted(t, numbers)
	trigger(0)
	if counted(t, numbers) == before {
		t.Error("a link that was unpinned is detached")
	}
	wantErr(t, link.Pin("/nowhere/link"), syscall.EINVAL, "/nowhere/link")
	wantErr(t, link.Pin("a\x00b"), syscall.EINVAL, "zero byte")
	wantErr(t, link.UpdateProgram(nil), syscall.EINVAL, "nil program")
	wantErr(t, link.UpdateProgram(getProgram(t, m, "count")), syscall.EINVAL, `"count"`)
	wantErr(t, link.UpdateMap(nil), syscall.EINVAL, "nil map")
	if needLibbpf(1, 2, "") == nil {
		wantErr(t, link.UpdateMap(numbers), syscall.EINVAL, "no link of a struct_ops map")
	}
	_, err = link.Reader()
	wantErr(t, err, syscall.EINVAL)
}

func TestIteratorReader(t *testing.T) {
	needBPF(t)
	m, err := NewModuleFromFile("testdata/iter.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	link, err := getProgram(t, m, "list_maps").AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		reader, err := link.Reader()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "a_map_of_mine\n") {
			t.Errorf("the iterator's output is %q", text)
		}
		if err := errors.Join(reader.Close(), reader.Close()); err != nil {
			t.Error(err)
		}
		_, err = reader.Read(make([]byte, 1))
		wantErr(t, err, os.ErrClosed)
	}
	// What was begun goes on without the link.
	reader, err := link.Reader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	m.Close()
	if text, err := io.ReadAll(reader); err != nil || !strings.Contains(string(text), "\n") {
		t.Errorf("the iterator's output is %q, %v", text, err)
	}
}

func TestRunDespiteSignals(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := syscall.Gettid()
	ended := make(chan struct{})
	var signalling sync.WaitGroup
	signalling.Add(1)
	go func() {
		defer signalling.Done()
		for {
			select {
			case <-ended:
				return
			default:
				unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			}
		}
	}()
	const repeat = 1_000_000
	err := prog.Run(&RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64, Repeat: repeat})
	close(ended)
	signalling.Wait()
	if n := calls(t, m, callsXDP); err != nil || n != repeat {
		t.Errorf("%v, the program ran %d times, want %d", err, n, repeat)
	}
}

// While a program runs, its module can be used and closed.
func TestRunHoldsUpNothing(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		ended <- prog.Run(&RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64, Repeat: 30_000_000})
	}()
	<-begun
	for calls(t, m, callsXDP) == 0 {
		runtime.Gosched()
	}
	if _, err := m.GetProgram("on_connect"); err != nil {
		t.Error(err)
	}
	m.Close()
	select {
	case err := <-ended:
		t.Errorf("the program had to end before its module could be closed: %v", err)
	default:
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	m := loadAttach(t, "on_xdp", "on_connect")
	prog := getProgram(t, m, "on_xdp")
	packet := make([]byte, 64)
	packet[0] = 42
	opts := RunOpts{DataIn: packet, DataSizeIn: 64, DataOut: make([]byte, 0, 128), DataSizeOut: 128, Repeat: 3}
	if err := prog.Run(&opts); err != nil {
		t.Fatal(err)
	}
	const pass = 2 // XDP_PASS
	if opts.RetVal != pass || len(opts.DataOut) != 64 || opts.DataOut[0] != 42 || opts.Duration < 0 {
		t.Errorf("%+v", opts)
	}
	if n := calls(t, m, callsXDP); n != 3 {
		t.Errorf("the program ran %d times, want 3", n)
	}
	for _, repeat := range []int{-1, math.MaxInt32 + 1} {
		wantErr(t, prog.Run(&RunOpts{DataIn: packet, DataSizeIn: 64, Repeat: repeat}), syscall.EINVAL, "times")
	}
	for name, test := range map[string]struct {
		opts *RunOpts
		want error
	}{
		"nil":               {nil, syscall.EINVAL},
		"in beyond its end": {&RunOpts{DataIn: packet, DataSizeIn: 65}, syscall.EINVAL},
		"nothing in":        {&RunOpts{DataSizeIn: 64}, syscall.EINVAL},
		"no packet":         {&RunOpts{}, syscall.EINVAL},
		"out too small":     {&RunOpts{DataIn: packet, DataSizeIn: 64, DataOut: make([]byte, 10), DataSizeOut: 10}, syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, prog.Run(test.opts), test.want, `"on_xdp"`) })
	}
	wantErr(t, getProgram(t, m, "on_connect").Run(&RunOpts{DataIn: packet, DataSizeIn: 64}), errors.ErrUnsupported, "on_connect")
}

// Without a size, the slice's length is it.
func TestRunWithoutSizes(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	packet := make([]byte, 64)
	packet[0] = 42
	const xdpMd = 24 // sizeof(struct xdp_md)
	context := make([]byte, xdpMd)
	binary.NativeEndian.PutUint32(context[4:], 64) // data_end
	opts := RunOpts{DataIn: packet, DataOut: make([]byte, 100), CtxIn: context, CtxOut: make([]byte, 100)}
	if err := prog.Run(&opts); err != nil || opts.RetVal != 2 {
		t.Fatal(err, opts.RetVal)
	}
	if len(opts.DataOut) != 64 || opts.DataOut[0] != 42 || len(opts.CtxOut) != xdpMd || opts.CtxOut[4] != 64 {
		t.Errorf("%+v", opts)
	}
	// The kernel writes nothing behind the length.
	opts = RunOpts{DataIn: packet, DataOut: make([]byte, 10, 64), CtxOut: make([]byte, 0, 64)}
	wantErr(t, prog.Run(&opts), syscall.ENOSPC, "DataOut", "10", "64")
	if rest := opts.DataOut[10:64]; len(bytes.Trim(rest, "\x00")) > 0 || len(opts.CtxOut) != 0 {
		t.Errorf("%v, %v", rest, opts.CtxOut)
	}
	// A slice of a length says that there is data; one without says nothing.
	if err := prog.Run(&RunOpts{DataIn: packet, CtxIn: []byte{}, DataOut: make([]byte, 0, 5)}); err != nil {
		t.Error(err)
	}
}

// After ENOSPC, there is what is needed to make more room.
func TestRunWithTooLittleRoom(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	packet := make([]byte, 64)
	packet[0] = 42
	for name, opts := range map[string]*RunOpts{
		"by size":   {DataIn: packet, DataSizeIn: 64, DataOut: make([]byte, 100), DataSizeOut: 10},
		"by length": {DataIn: packet, DataOut: make([]byte, 10)},
	} {
		wantErr(t, prog.Run(opts), syscall.ENOSPC, "on_xdp", "DataOut", "10 bytes of 64")
		if opts.RetVal != 2 || opts.DataSizeOut != 64 || len(opts.DataOut) != 10 || opts.DataOut[0] != 42 {
			t.Errorf("%s: %+v", name, opts)
		}
		opts.DataOut = make([]byte, opts.DataSizeOut)
		if err := prog.Run(opts); err != nil || len(opts.DataOut) != 64 {
			t.Errorf("%s: %v, %+v", name, err, opts)
		}
	}
	context := make([]byte, 24)
	context[4] = 64
	opts := RunOpts{DataIn: packet, CtxIn: context, DataOut: make([]byte, 100), CtxOut: make([]byte, 8)}
	wantErr(t, prog.Run(&opts), syscall.ENOSPC, "CtxOut", "8 bytes of 24")
	if opts.RetVal != 2 || opts.CtxSizeOut != 24 || opts.DataSizeOut != 0 || len(opts.DataOut) != 64 || len(opts.CtxOut) != 8 {
		t.Errorf("%+v", opts)
	}
	// What the kernel refuses is named with what it was given.
	wantErr(t, prog.Run(&RunOpts{DataIn: packet[:1]}), syscall.EINVAL, "DataIn of 1 bytes")
	for name, opts := range map[string]*RunOpts{
		"DataIn": {DataIn: packet, DataSizeIn: 65}, "DataOut": {DataIn: packet, DataSizeOut: 1},
		"CtxIn": {DataIn: packet, CtxSizeIn: 1}, "CtxOut": {DataIn: packet, CtxOut: make([]byte, 5), CtxSizeOut: 6},
	} {
		wantErr(t, prog.Run(opts), syscall.EINVAL, name+" needs room")
	}
}

func TestAttachGenericFD(t *testing.T) {
	m := loadAttach(t, "on_connect")
	prog := getProgram(t, m, "on_connect")
	cgroup, err := os.Open(newCgroup(t))
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	fd := int(cgroup.Fd())
	if err := prog.AttachGenericFD(fd, BPFAttachTypeCgroupInet4Connect, BPFFAllowMulti); err != nil {
		t.Fatal(err)
	}
	wantErr(t, prog.AttachGenericFD(fd, BPFAttachTypeCgroupInet4Connect, BPFFAllowMulti), syscall.EINVAL, "on_connect", "BPF_CGROUP_INET4_CONNECT")
	wantErr(t, prog.AttachGenericFD(fd, BPFAttachTypeCgroupInet6Connect, BPFFNone), syscall.EINVAL, "BPF_CGROUP_INET6_CONNECT")
	if err := prog.DetachGenericFD(fd, BPFAttachTypeCgroupInet4Connect); err != nil {
		t.Error(err)
	}
	wantErr(t, prog.DetachGenericFD(fd, BPFAttachTypeCgroupInet4Connect), syscall.ENOENT, "on_connect")
	wantErr(t, prog.AttachGenericFD(-1, BPFAttachTypeCgroupInet4Connect, BPFFNone), syscall.EBADF, "on_connect")
}

func TestProgramSettings(t *testing.T) {
	m := openMain(t)
	prog := getProgram(t, m, "count")
	if err := prog.SetType(BPFProgTypeTracing); err != nil || prog.GetType() != BPFProgTypeTracing {
		t.Error(err, prog.GetType())
	}
	if err := needLibbpf(1, 2, ""); err != nil {
		wantErr(t, prog.SetType(BPFProgTypeRawTracepoint), errors.ErrUnsupported, "count", "libbpf 1.2")
		m = openMain(t)
		prog = getProgram(t, m, "count")
	}
	prog.SetProgramType(BPFProgTypeRawTracepoint)
	if prog.GetType() != BPFProgTypeRawTracepoint {
		t.Error(prog.GetType())
	}
	if err := prog.SetExpectedAttachType(BPFAttachTypeTraceFentry); err != nil || prog.ExpectedAttachType() != BPFAttachTypeTraceFentry {
		t.Error(err, prog.ExpectedAttachType())
	}
	prog.SetAttachType(BPFAttachTypeTraceRawTP)
	if prog.ExpectedAttachType() != BPFAttachTypeTraceRawTP {
		t.Error(prog.ExpectedAttachType())
	}
	wantErr(t, prog.SetAttachTarget(0, "a\x00b"), syscall.EINVAL, "zero byte")
	wantErr(t, prog.SetAttachTarget(0, "no_such_function"), syscall.ESRCH, "count", "no_such_function")
	prog.SetAttachType(0)
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, prog.SetType(BPFProgTypeTracing), syscall.EBUSY, "count")
	wantErr(t, prog.SetExpectedAttachType(BPFAttachTypeTraceIter), syscall.EBUSY, "count")
}
