package libbpfgo

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The keys of testdata/attach.bpf.c.
const (
	callsUprobe = iota
	callsURetprobe
	callsCookie
	callsPerfEvent
	callsXDP
	callsCgroup
	callsNetns
	callsIter
	callsKprobe
	callsUprobeMulti
	callsTC
	callsSKB
	callsTCX
	callsMessage
	callsNetfilter
	addressHit // not a number of calls
	callsKeys
)

func loadAttach(t *testing.T, programs ...string) *Module {
	t.Helper()
	m, err := tryLoadAttach(t, programs...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tryLoadAttach returns the error of the load.
func tryLoadAttach(t *testing.T, programs ...string) (*Module, error) {
	t.Helper()
	needBPF(t)
	m, err := NewModuleFromFile("testdata/attach.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	it := m.Iterator()
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		wanted := false
		for _, name := range programs {
			wanted = wanted || name == prog.Name()
		}
		if err := prog.SetAutoload(wanted); err != nil {
			t.Fatal(err)
		}
	}
	return m, m.BPFLoadObject()
}

func calls(t *testing.T, m *Module, key uint32) uint64 {
	t.Helper()
	value, err := getMap(t, m, "calls").GetValue(unsafe.Pointer(&key))
	if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint64(value)
}

// wantCalls checks that provoke makes the program run while the link is there, and not any more after
// Destroy.
func wantCalls(t *testing.T, m *Module, key uint32, link *BPFLink, err error, provoke func()) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	before := calls(t, m, key)
	provoke()
	attached := calls(t, m, key)
	if attached == before {
		t.Errorf("the program of key %d didn't run", key)
	}
	if err := link.Destroy(); err != nil {
		t.Error(err)
	}
	attached = calls(t, m, key)
	provoke()
	if n := calls(t, m, key); n != attached {
		t.Errorf("the program of key %d ran %d times after Destroy", key, n-attached)
	}
}

// libcFunction returns the file of this process's C library and a function's offset in it.
func libcFunction(t *testing.T, name string) (path string, offset uint64) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); strings.Contains(lines.Text(), "/libc.so") {
			path = fields[len(fields)-1]
		}
	}
	if path == "" {
		t.Skip("the C library is linked statically: it has no symbols to attach to")
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name != name {
			continue
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				return path, s.Value - p.Vaddr + p.Off
			}
		}
	}
	t.Fatalf("%s has no function %s", path, name)
	return "", 0
}

// makeEpoll makes libbpf call getpagesize and epoll_create1, which nothing else here does, and which no
// sanitizer has in its own hands.
func makeEpoll(m *Module) {
	_, _ = m.InitRingBuf("calls", make(chan []byte)) // which is none
}

func TestAttachUprobes(t *testing.T) {
	m := loadAttach(t, "on_uprobe", "on_uretprobe", "on_cookie")
	path, offset := libcFunction(t, "epoll_create1")
	provoke := func() { makeEpoll(m) }
	pid := os.Getpid()

	link, err := getProgram(t, m, "on_uprobe").AttachUprobe(pid, path, offset)
	wantCalls(t, m, callsUprobe, link, err, provoke)
	link, err = getProgram(t, m, "on_uprobe").AttachUprobe(0, path, offset)
	wantCalls(t, m, callsUprobe, link, err, provoke)
	link, err = getProgram(t, m, "on_uretprobe").AttachURetprobe(pid, path, offset)
	wantCalls(t, m, callsURetprobe, link, err, provoke)
	link, err = getProgram(t, m, "on_cookie").AttachUprobeWithOpts(pid, path, offset, 1000)
	wantCalls(t, m, callsCookie, link, err, provoke)
	if n := calls(t, m, callsCookie); n < 1000 || n%1000 != 0 {
		t.Errorf("the cookies add up to %d", n)
	}
	link, err = getProgram(t, m, "on_uretprobe").AttachURetprobeWithOpts(pid, path, offset, 1)
	wantCalls(t, m, callsURetprobe, link, err, provoke)
	before := calls(t, m, callsCookie)
	link, err = getProgram(t, m, "on_cookie").AttachURetprobeWithOpts(pid, path, offset, 1000)
	wantCalls(t, m, callsCookie, link, err, provoke)
	if n := calls(t, m, callsCookie); n == before || n%1000 != 0 {
		t.Errorf("the cookies add up to %d", n)
	}
	link, err = getProgram(t, m, "on_uprobe").AttachUprobeOpts(pid, path, 0, UprobeOpts{FuncName: "epoll_create1"})
	wantCalls(t, m, callsUprobe, link, err, provoke)
	link, err = getProgram(t, m, "on_uprobe").AttachUprobeOpts(pid, path, offset, UprobeOpts{AttachMode: ProbeAttachModePerf})
	if needLibbpf(1, 2, "") == nil {
		wantCalls(t, m, callsUprobe, link, err, provoke)
	} else {
		wantErr(t, err, errors.ErrUnsupported, "libbpf 1.2")
	}

	leaksNothing(t, func() {
		_, err = getProgram(t, m, "on_uprobe").AttachUprobe(pid, "/nothing", offset)
		wantErr(t, err, syscall.ENOENT, "on_uprobe", "/nothing")
		_, err = getProgram(t, m, "on_uprobe").AttachUprobe(pid, "a\x00b", offset)
		wantErr(t, err, syscall.EINVAL, "zero byte")
		_, err = getProgram(t, m, "on_uprobe").AttachUprobe(1<<22+1, path, offset)
		wantErr(t, err, syscall.ESRCH, "on_uprobe")
		_, err = getProgram(t, m, "on_uprobe").AttachUprobeOpts(pid, path, 0, UprobeOpts{FuncName: "nothing"})
		wantErr(t, err, syscall.ENOENT, "on_uprobe", `"nothing"+0x0`)
		_, err = getProgram(t, m, "on_uprobe").AttachUSDT(pid, path, "libc", "nothing")
		wantErr(t, err, syscall.ESRCH, `"libc:nothing"`, "usdt.bpf.h")
	})
}

func TestAttachUprobeMulti(t *testing.T) {
	if err := needLibbpf(1, 3, ""); err != nil {
		m := openMain(t)
		_, err := getProgram(t, m, "count").AttachUprobeMulti(-1, "/bin/sh", []uint64{1}, nil)
		wantErr(t, err, errors.ErrUnsupported, "libbpf 1.3")
		return
	}
	m, err := tryLoadAttach(t, "on_uprobe_multi")
	needKernel(t, err, 6, 6)
	path, first := libcFunction(t, "epoll_create1")
	_, second := libcFunction(t, "getpagesize")
	prog := getProgram(t, m, "on_uprobe_multi")
	link, err := prog.AttachUprobeMulti(os.Getpid(), path, []uint64{first, second}, []uint64{1000, 1})
	needKernel(t, err, 6, 6)
	wantCalls(t, m, callsUprobeMulti, link, err, func() { makeEpoll(m) })
	if n := calls(t, m, callsUprobeMulti); n < 1001 || n%1000 == 0 {
		t.Errorf("the cookies add up to %d", n)
	}
	link, err = prog.AttachUprobeMultiOpts(os.Getpid(), path, "", UprobeMultiOpts{Offsets: []uint64{first, second}, RefCtrOffsets: []uint64{0, 0}, Cookies: []uint64{1, 1}})
	wantCalls(t, m, callsUprobeMulti, link, err, func() { makeEpoll(m) })
	_, err = prog.AttachUprobeMultiOpts(-1, path, "no_such_*", UprobeMultiOpts{})
	wantErr(t, err, syscall.ENOENT, "no_such_*", path)
	_, err = prog.AttachUprobeMultiOpts(-1, path, "", UprobeMultiOpts{Symbols: []string{"epoll_create1", "a\x00b"}})
	wantErr(t, err, syscall.EINVAL, "zero byte")
	_, err = prog.AttachUprobeMulti(-1, path, nil, nil)
	wantErr(t, err, syscall.EINVAL, "0 functions")
	_, err = prog.AttachURetprobeMulti(-1, path, []uint64{first, second}, []uint64{1})
	wantErr(t, err, syscall.EINVAL, "2 functions, 1 cookies")
}

// An uprobeForm is a method that attaches a program to a function of a file.
type uprobeForm struct {
	name, program string
	attach        func(prog *BPFProg, pid int, path string) (*BPFLink, error)
}

// uprobeForms returns the forms that can be tested on this kernel, for functions of the C library.
func uprobeForms(t *testing.T) []uprobeForm {
	t.Helper()
	_, offset := libcFunction(t, "epoll_create1")
	offsets, cookies := []uint64{offset}, []uint64{1}
	forms := []uprobeForm{
		{"AttachUprobe", "on_uprobe", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachUprobe(pid, path, offset)
		}},
		{"AttachURetprobe", "on_uretprobe", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachURetprobe(pid, path, offset)
		}},
		{"AttachUprobeWithOpts", "on_uprobe", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachUprobeWithOpts(pid, path, offset, 1)
		}},
		{"AttachURetprobeWithOpts", "on_uretprobe", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachURetprobeWithOpts(pid, path, offset, 1)
		}},
		{"AttachUprobeOpts", "on_uprobe", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachUprobeOpts(pid, path, 0, UprobeOpts{FuncName: "epoll_create1"})
		}},
	}
	if needLibbpf(1, 3, "") != nil {
		return forms
	}
	return append(forms, []uprobeForm{
		{"AttachUprobeMulti", "on_uprobe_multi", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachUprobeMulti(pid, path, offsets, cookies)
		}},
		{"AttachURetprobeMulti", "on_uprobe_multi", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachURetprobeMulti(pid, path, offsets, cookies)
		}},
		{"AttachUprobeMultiOpts", "on_uprobe_multi", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
			return prog.AttachUprobeMultiOpts(pid, path, "", UprobeMultiOpts{Offsets: offsets, Cookies: cookies})
		}},
	}...)
}

// loadUprobes loads the programs of uprobeForms, and returns for each of them its key.
func loadUprobes(t *testing.T) (*Module, map[string]uint32) {
	t.Helper()
	if needLibbpf(1, 3, "") != nil {
		return loadAttach(t, "on_uprobe", "on_uretprobe"), map[string]uint32{"on_uprobe": callsUprobe, "on_uretprobe": callsURetprobe}
	}
	m, err := tryLoadAttach(t, "on_uprobe", "on_uretprobe", "on_uprobe_multi")
	needKernel(t, err, 6, 6)
	return m, map[string]uint32{"on_uprobe": callsUprobe, "on_uretprobe": callsURetprobe, "on_uprobe_multi": callsUprobeMulti}
}

// Names without a slash are searched for, other paths aren't.
func TestAttachUprobePaths(t *testing.T) {
	forms := uprobeForms(t)
	m, keys := loadUprobes(t)
	libc, _ := libcFunction(t, "epoll_create1")
	dir := t.TempDir()
	for _, name := range []string{"libsearched.so", "searched-program", "unsearched-program", "libunsearched.so.1"} {
		if err := os.Symlink(libc, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "not-executable"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	provoke := func() { makeEpoll(m) }
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			prog := getProgram(t, m, form.program)
			attach := func(path string) {
				t.Helper()
				link, err := form.attach(prog, os.Getpid(), path)
				wantCalls(t, m, keys[form.program], link, err, provoke)
			}
			attach(filepath.Base(libc)) // in the system's folders
			attach("./unsearched-program")
			attach("../" + filepath.Base(dir) + "/libunsearched.so.1")
			for _, name := range []string{"unsearched-program", "libunsearched.so.1"} {
				_, err := form.attach(prog, os.Getpid(), name)
				wantErr(t, err, syscall.ENOENT, form.program, name, `"./`+name+`"`)
			}
			_, err := form.attach(prog, os.Getpid(), "")
			wantErr(t, err, syscall.EINVAL, form.program, "empty path")
			_, err = form.attach(prog, os.Getpid(), "a\x00b")
			wantErr(t, err, syscall.EINVAL, form.program, "zero byte")

			t.Setenv("LD_LIBRARY_PATH", ":/nothing:"+dir)
			attach("libsearched.so")
			t.Setenv("PATH", os.Getenv("PATH")+":"+dir)
			if info, err := os.Stat(libc); err == nil && info.Mode()&0o111 != 0 {
				attach("searched-program")
			}
			_, err = form.attach(prog, os.Getpid(), "not-executable")
			wantErr(t, err, syscall.ENOENT, "not-executable")
		})
	}
	// This program has no static tracepoint, and the error before that is what is looked for.
	prog := getProgram(t, m, "on_uprobe")
	_, err := prog.AttachUSDT(os.Getpid(), filepath.Base(libc), "libc", "nothing")
	wantErr(t, err, syscall.ESRCH, "usdt.bpf.h")
	_, err = prog.AttachUSDT(os.Getpid(), "libunsearched.so.1", "libc", "nothing")
	wantErr(t, err, syscall.ENOENT, `"./libunsearched.so.1"`)
}

// Of negative numbers, only -1 is a way to name processes.
func TestAttachUprobeProcesses(t *testing.T) {
	forms := append(uprobeForms(t), uprobeForm{"AttachUSDT", "on_uprobe", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUSDT(pid, path, "libc", "setjmp")
	}})
	m, _ := loadUprobes(t)
	libc, _ := libcFunction(t, "epoll_create1")
	leaksNothing(t, func() {
		for _, form := range forms {
			prog := getProgram(t, m, form.program)
			_, err := form.attach(prog, -2, libc)
			wantErr(t, err, syscall.EINVAL, form.program, "process -2")
			_, err = form.attach(prog, 1<<32+os.Getpid(), libc)
			wantErr(t, err, syscall.ERANGE, form.program)
			_, err = form.attach(prog, 1<<32-2, libc)
			wantErr(t, err, syscall.ERANGE, form.program)
		}
	})
}

// needKernel skips where a kernel before the one that brought a feature to all has refused it by EINVAL.
func needKernel(t *testing.T, err error, major, minor int) {
	t.Helper()
	if err == nil {
		return
	}
	if olderKernel(t, major, minor) && errors.Is(err, syscall.EINVAL) {
		t.Skip(err)
	}
	t.Fatal(err)
}

func olderKernel(t testing.TB, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &haveMajor, &haveMinor); err != nil {
		t.Fatal(err)
	}
	return haveMajor < major || haveMajor == major && haveMinor < minor
}

func TestAttachPerfEvent(t *testing.T) {
	runtime.LockOSThread() // whose event it is
	defer runtime.UnlockOSThread()
	m := loadAttach(t, "on_perf_event")
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: 100_000, // nanoseconds
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	link, err := getProgram(t, m, "on_perf_event").AttachPerfEvent(fd)
	if err != nil {
		unix.Close(fd)
	}
	limit := 10 * time.Second // for an emulated machine, whose timers come late
	wantCalls(t, m, callsPerfEvent, link, err, func() {
		before := calls(t, m, callsPerfEvent)
		for begin := time.Now(); time.Since(begin) < limit && calls(t, m, callsPerfEvent) == before; {
		}
		limit = 20 * time.Millisecond // after Destroy: 200 samples of this thread, if it isn't held up
	})
	_, err = getProgram(t, m, "on_perf_event").AttachPerfEvent(-1)
	wantErr(t, err, syscall.EINVAL, "on_perf_event")
}

// connect makes a TCP connection over the loopback interface.
func connect(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestAttachNetwork(t *testing.T) {
	m := loadAttach(t, "on_xdp", "on_connect", "on_lookup")
	inOwnNetwork(t, func() {
		provoke := func() { connect(t) }

		link, err := getProgram(t, m, "on_xdp").AttachXDP("lo")
		wantCalls(t, m, callsXDP, link, err, provoke)
		_, err = getProgram(t, m, "on_xdp").AttachXDP("nothing")
		wantErr(t, err, syscall.ENODEV, "on_xdp", "nothing")

		link, err = getProgram(t, m, "on_lookup").AttachNetns("/proc/thread-self/ns/net")
		wantCalls(t, m, callsNetns, link, err, provoke)
		_, err = getProgram(t, m, "on_lookup").AttachNetns("/nothing")
		wantErr(t, err, syscall.ENOENT, "on_lookup", "/nothing")
		_, err = getProgram(t, m, "on_lookup").AttachNetns("/dev/null")
		wantErr(t, err, syscall.EINVAL, "on_lookup", "/dev/null")

		_, err = getProgram(t, m, "on_connect").AttachCgroup("/nothing")
		wantErr(t, err, syscall.ENOENT, "on_connect", "/nothing")
		_, err = getProgram(t, m, "on_connect").AttachCgroup("/tmp")
		wantErr(t, err, syscall.EBADF, "on_connect", "/tmp")
		link, err = getProgram(t, m, "on_connect").AttachCgroup(ownCgroup(t))
		wantCalls(t, m, callsCgroup, link, err, provoke)
	})
}

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

// inOwnNetwork runs f in a network namespace of its own, with a loopback interface that is up.
func inOwnNetwork(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
	}()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
	f()
}

// ping sends a datagram over the loopback interface, from the calling thread's namespace.
func ping(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	// To itself: nobody at the port would be reported by a second packet.
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(socket, []byte{1}, 0, address); err != nil {
		t.Fatal(err)
	}
}

func TestTcHook(t *testing.T) {
	m := loadAttach(t, "on_packet")
	prog := getProgram(t, m, "on_packet")
	inOwnNetwork(t, func() {
		hook := m.TcHookInit()
		wantErr(t, hook.SetInterfaceByName("nothing"), syscall.ENODEV, "nothing")
		wantErr(t, hook.Create(), syscall.EINVAL, "create TC hook")
		if err := hook.SetInterfaceByName("lo"); err != nil || hook.GetInterfaceIndex() != 1 {
			t.Fatal(err, hook.GetInterfaceIndex())
		}
		hook.SetAttachPoint(BPFTcIngressEgress)
		err := hook.Create()
		if errors.Is(err, syscall.ENOENT) {
			t.Skipf("this kernel has no clsact: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, hook.Create(), syscall.EEXIST, "create TC hook 3 of network interface 1")

		hook.SetAttachPoint(BPFTcEgress)
		wantErr(t, hook.Attach(nil), syscall.EINVAL, "nil options")
		wantErr(t, hook.Attach(&TcOpts{ProgFd: -1}), syscall.EBADFD, "attach a program", "isn't loaded")
		wantErr(t, hook.Attach(&TcOpts{ProgFd: prog.FileDescriptor(), Handle: 1 << 32}), syscall.ERANGE, "0x100000000")
		opts := &TcOpts{ProgFd: prog.FileDescriptor()}
		if err := hook.Attach(opts); err != nil {
			t.Fatal(err)
		}
		if opts.ProgId == 0 || opts.Handle == 0 || opts.Priority == 0 {
			t.Errorf("%+v", opts)
		}
		ping(t)
		if n := calls(t, m, callsTC); n != 1 {
			t.Errorf("the program ran %d times, want 1", n)
		}
		second := &TcOpts{ProgFd: prog.FileDescriptor(), Handle: opts.Handle, Priority: opts.Priority}
		wantErr(t, hook.Attach(second), syscall.EEXIST, "attach a program")
		second.Flags = BpfTcFReplace
		if err := hook.Attach(second); err != nil {
			t.Error(err)
		}

		query := &TcOpts{Handle: opts.Handle, Priority: opts.Priority}
		if err := hook.Query(query); err != nil || query.ProgId != opts.ProgId {
			t.Errorf("%v, %+v, want program %d", err, query, opts.ProgId)
		}
		wantErr(t, hook.Query(&TcOpts{Handle: opts.Handle + 1, Priority: opts.Priority}), syscall.ENOENT, "query")
		if err := hook.Detach(&TcOpts{Handle: opts.Handle, Priority: opts.Priority}); err != nil {
			t.Error(err)
		}
		ping(t)
		if n := calls(t, m, callsTC); n != 1 {
			t.Errorf("the program ran %d times, want 1", n)
		}

		// A hook lives beyond its module and beyond its qdisc.
		m.Close()
		hook.SetAttachPoint(BPFTcIngressEgress)
		for range 2 {
			if err := hook.Destroy(); err != nil {
				t.Error(err)
			}
			if err := hook.Create(); err != nil {
				t.Error(err)
			}
		}
		hook.SetAttachPoint(BPFTcCustom)
		hook.SetParent(0xffff, 7)
		wantErr(t, hook.Create(), syscall.EOPNOTSUPP, "create TC hook 4")
		if hook.c.parent != 0xffff<<16|7 {
			t.Errorf("the parent is %#x", hook.c.parent)
		}
	})
}

// What Attach has filled in is good for every further call.
func TestTcHookOptionsAgain(t *testing.T) {
	m := loadAttach(t, "on_packet")
	prog := getProgram(t, m, "on_packet")
	inOwnNetwork(t, func() {
		hook := m.TcHookInit()
		hook.SetInterfaceByIndex(1)
		hook.SetAttachPoint(BPFTcIngressEgress)
		err := hook.Create()
		if errors.Is(err, syscall.ENOENT) {
			t.Skipf("this kernel has no clsact: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		hook.SetAttachPoint(BPFTcEgress)
		for _, flags := range []TcFlags{0, BpfTcFReplace} {
			opts := &TcOpts{ProgFd: prog.FileDescriptor(), Flags: flags}
			for range 2 { // after Detach, it is attached again
				if err := hook.Attach(opts); err != nil {
					t.Fatal(err)
				}
				attached := *opts
				if err := hook.Attach(opts); flags == 0 {
					wantErr(t, err, syscall.EEXIST, "attach a program")
				} else if err != nil {
					t.Error(err)
				}
				if err := hook.Query(opts); err != nil || *opts != attached {
					t.Errorf("%v, %+v, want %+v", err, opts, attached)
				}
				if err := hook.Detach(opts); err != nil || *opts != attached {
					t.Errorf("%v, %+v, want %+v", err, opts, attached)
				}
				wantErr(t, hook.Detach(opts), syscall.ENOENT, "detach a program")
				before := calls(t, m, callsTC)
				ping(t)
				if n := calls(t, m, callsTC); n != before {
					t.Errorf("the program ran %d times after Detach", n-before)
				}
			}
		}
		// What can't be meant is named.
		wantErr(t, hook.Attach(&TcOpts{}), syscall.EINVAL, "ProgFd is 0")
		wantErr(t, hook.Attach(&TcOpts{ProgFd: prog.FileDescriptor(), Flags: 2}), syscall.EINVAL, "flags 0x2")
		wantErr(t, hook.Attach(&TcOpts{ProgFd: prog.FileDescriptor(), Priority: 1 << 16}), syscall.EINVAL, "priority 65536")
		wantErr(t, hook.Detach(&TcOpts{Handle: 1}), syscall.EINVAL, "priority 0")
		wantErr(t, hook.Query(&TcOpts{Priority: 1}), syscall.EINVAL, "handle 0x0")
	})
}

// Numbers that C would cut off are an error of the call that needs them, until others are set.
// What a hook lacks is named, by each method that needs it.
func TestTcHookIncomplete(t *testing.T) {
	m := openMain(t)
	for want, set := range map[string]func(*TcHook){
		"network interface": func(hook *TcHook) { hook.SetAttachPoint(BPFTcEgress) },
		"SetAttachPoint":    func(hook *TcHook) { hook.SetInterfaceByIndex(1) },
		"ingress, egress and custom": func(hook *TcHook) {
			hook.SetInterfaceByIndex(1)
			hook.SetAttachPoint(BPFTcIngressEgress)
		},
		"no class": func(hook *TcHook) {
			hook.SetInterfaceByIndex(1)
			hook.SetAttachPoint(BPFTcCustom)
		},
		"not of BPFTcCustom": func(hook *TcHook) {
			hook.SetInterfaceByIndex(1)
			hook.SetAttachPoint(BPFTcIngress)
			hook.SetParent(1, 2)
		},
	} {
		hook := m.TcHookInit()
		set(hook)
		opts := TcOpts{ProgFd: 1, Handle: 1, Priority: 1}
		wantErr(t, hook.Attach(&opts), syscall.EINVAL, want)
		wantErr(t, hook.Detach(&opts), syscall.EINVAL, want)
		wantErr(t, hook.Query(&opts), syscall.EINVAL, want)
	}
	hook := m.TcHookInit()
	hook.SetInterfaceByIndex(1)
	hook.SetAttachPoint(BPFTcEgress)
	wantErr(t, hook.Attach(&TcOpts{ProgFd: -2}), syscall.EBADFD, "isn't loaded")
}

func TestTcHookRanges(t *testing.T) {
	m := openMain(t)
	inOwnNetwork(t, func() {
		hook := m.TcHookInit()
		hook.SetAttachPoint(BPFTcIngressEgress)
		for _, index := range []int{1<<32 + 1, -1<<32 + 1} {
			hook.SetInterfaceByIndex(index)
			wantErr(t, hook.Create(), syscall.ERANGE, fmt.Sprint(index))
			wantErr(t, hook.Destroy(), syscall.ERANGE, fmt.Sprint(index))
			wantErr(t, hook.Query(&TcOpts{Handle: 1, Priority: 1}), syscall.ERANGE, fmt.Sprint(index))
			if got := hook.GetInterfaceIndex(); got != 0 {
				t.Errorf("the index is %d", got)
			}
		}
		if err := hook.SetInterfaceByName("lo"); err != nil {
			t.Fatal(err)
		}
		hook.SetAttachPoint(BPFTcCustom)
		for _, parent := range [][2]int{{1<<32 + 1, 1}, {1, 1<<32 + 1}, {0x10000, 1}, {1, 0x10000}, {-1, 1}, {1, -1}} {
			hook.SetParent(parent[0], parent[1])
			wantErr(t, hook.Create(), syscall.ERANGE, "parent")
		}
		hook.SetParent(1, 2)
		wantErr(t, hook.Create(), syscall.EOPNOTSUPP)
		wantErr(t, hook.Attach(&TcOpts{ProgFd: 1<<32 + 1}), syscall.ERANGE, "ProgFd 4294967297")
	})
}

func TestAttachXDPLegacy(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	other := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	inOwnNetwork(t, func() {
		if err := prog.AttachXDPLegacy("lo", XDPFlagsSkbMode); err != nil {
			t.Fatal(err)
		}
		ping(t)
		if n := calls(t, m, callsXDP); n != 1 {
			t.Errorf("the program ran %d times, want 1", n)
		}
		err := getProgram(t, other, "on_xdp").AttachXDPLegacy("lo", XDPFlagsSkbMode|XDPFlagsUpdateIfNoExist)
		wantErr(t, err, syscall.EBUSY, "on_xdp", `"lo"`)
		wantErr(t, getProgram(t, other, "on_xdp").DetachXDPLegacy("lo", XDPFlagsSkbMode), syscall.EEXIST, "on_xdp", `"lo"`)
		if err := prog.DetachXDPLegacy("lo", XDPFlagsSkbMode); err != nil {
			t.Error(err)
		}
		ping(t)
		if n := calls(t, m, callsXDP); n != 1 {
			t.Errorf("the program ran %d times, want 1", n)
		}
		wantErr(t, prog.AttachXDPLegacy("nothing", 0), syscall.ENODEV, "on_xdp", "nothing")
		wantErr(t, prog.DetachXDPLegacy("nothing", 0), syscall.ENODEV, "on_xdp", "nothing")
	})
}

// Attaching or detaching a program that isn't loaded changes nothing at the hook.
func TestNotLoadedTouchesNothing(t *testing.T) {
	cgroup := ownCgroup(t)
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	fd := int(dir.Fd())
	m := loadAttach(t, "on_xdp", "on_skb", "on_lookup")
	empty := loadAttach(t)
	xdp, skb := getProgram(t, empty, "on_xdp"), getProgram(t, empty, "on_skb")
	const egress = BPFAttachTypeCgroupInetEgress
	inOwnNetwork(t, func() {
		if err := getProgram(t, m, "on_xdp").AttachXDPLegacy("lo", XDPFlagsSkbMode); err != nil {
			t.Fatal(err)
		}
		// For itself alone: the kernel would detach it for any descriptor that is none.
		if err := getProgram(t, m, "on_skb").AttachGenericFD(fd, egress, BPFFNone); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := getProgram(t, m, "on_skb").DetachGenericFD(fd, egress); err != nil {
				t.Error(err)
			}
		}()
		link, err := getProgram(t, m, "on_lookup").AttachNetns("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"AttachXDPLegacy":             func() error { return xdp.AttachXDPLegacy("lo", XDPFlagsSkbMode) },
			"AttachXDPLegacy, no replace": func() error { return xdp.AttachXDPLegacy("lo", XDPFlagsSkbMode|XDPFlagsUpdateIfNoExist) },
			"DetachXDPLegacy":             func() error { return xdp.DetachXDPLegacy("lo", XDPFlagsSkbMode) },
			"AttachGenericFD":             func() error { return skb.AttachGenericFD(fd, egress, BPFFNone) },
			"DetachGenericFD":             func() error { return skb.DetachGenericFD(fd, egress) },
			"AttachCgroupLegacy":          func() error { _, err := skb.AttachCgroupLegacy(cgroup, egress); return err },
			"DetachCgroupLegacy":          func() error { return skb.DetachCgroupLegacy(cgroup, egress) },
			"UpdateProgram":               func() error { return link.UpdateProgram(getProgram(t, empty, "on_lookup")) },
			"Run":                         func() error { return skb.Run(&RunOpts{}) },
		} {
			leaksNothing(t, func() {
				if err := call(); !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), "isn't loaded") {
					t.Errorf("%s: error is %v", name, err)
				}
			})
			xdpCalls, skbCalls, lookups := calls(t, m, callsXDP), calls(t, m, callsSKB), calls(t, m, callsNetns)
			ping(t)
			connect(t)
			if calls(t, m, callsXDP) == xdpCalls || calls(t, m, callsSKB) == skbCalls || calls(t, m, callsNetns) == lookups {
				t.Errorf("%s has detached another program", name)
			}
		}
	})
}

// needAttach skips where libbpf 1.x is older than what attach needs, which must say so.
func needAttach(t *testing.T, libbpf int, program string, attach func(*BPFProg) error) {
	t.Helper()
	if err := needLibbpf(1, libbpf, program); err != nil {
		prog := getProgram(t, loadAttach(t), program)
		wantErr(t, attach(prog), errors.ErrUnsupported, program, fmt.Sprintf("libbpf 1.%d", libbpf))
		t.Skip(err)
	}
}

func TestAttachTCX(t *testing.T) {
	needAttach(t, 3, "on_packet", func(prog *BPFProg) error {
		_, err := prog.AttachTCX("lo", OrderOpts{})
		return err
	})
	m, err := tryLoadAttach(t, "on_tcx", "on_netkit")
	needKernel(t, err, 6, 7)
	prog := getProgram(t, m, "on_tcx")
	inOwnNetwork(t, func() {
		link, err := prog.AttachTCX("lo", OrderOpts{})
		needKernel(t, err, 6, 6)
		wantCalls(t, m, callsTCX, link, err, func() { ping(t) })

		other := getProgram(t, loadAttach(t, "on_tcx"), "on_tcx")
		link, err = prog.AttachTCX("lo", OrderOpts{})
		if err != nil {
			t.Fatal(err)
		}
		for _, opts := range []OrderOpts{
			{Flags: BPFFBefore},
			{Flags: BPFFAfter, RelativeFD: prog.FileDescriptor()},
			{Flags: BPFFBefore | BPFFLink, RelativeFD: link.FileDescriptor()},
		} {
			link, err := other.AttachTCX("lo", opts)
			if err != nil {
				t.Fatalf("%+v: %v", opts, err)
			}
			if err := link.Destroy(); err != nil {
				t.Error(err)
			}
		}
		leaksNothing(t, func() {
			_, err = prog.AttachTCX("lo", OrderOpts{})
			wantErr(t, err, syscall.EEXIST, "on_tcx", `"lo"`)
			_, err = other.AttachTCX("lo", OrderOpts{ExpectedRevision: 1 << 40})
			wantErr(t, err, syscall.ESTALE, "on_tcx", `"lo"`)
			_, err = other.AttachTCX("lo", OrderOpts{Flags: BPFFBefore, RelativeFD: 1, RelativeID: 1})
			wantErr(t, err, syscall.EINVAL, "on_tcx", "relative_id")
			_, err = other.AttachTCX("nothing", OrderOpts{})
			wantErr(t, err, syscall.ENODEV, "on_tcx", "nothing")
			_, err = getProgram(t, m, "on_netkit").AttachNetkit("nothing", OrderOpts{})
			wantErr(t, err, syscall.ENODEV, "on_netkit", "nothing")
		})
	})
}

func TestAttachNetfilter(t *testing.T) {
	needAttach(t, 3, "on_packet", func(prog *BPFProg) error {
		_, err := prog.AttachNetfilter(NetfilterOpts{})
		return err
	})
	m, err := tryLoadAttach(t, "on_netfilter")
	needKernel(t, err, 6, 4)
	prog := getProgram(t, m, "on_netfilter")
	inOwnNetwork(t, func() {
		link, err := prog.AttachNetfilter(NetfilterOpts{ProtocolFamily: unix.AF_INET, Priority: -100})
		wantCalls(t, m, callsNetfilter, link, err, func() { ping(t) })
		leaksNothing(t, func() {
			_, err = prog.AttachNetfilter(NetfilterOpts{ProtocolFamily: unix.AF_INET, Hook: 99, Priority: -100})
			wantErr(t, err, syscall.EPROTO, "on_netfilter", "netfilter hook 99")
		})
	})
}

func TestAttachSockMap(t *testing.T) {
	needAttach(t, 5, "on_message", func(prog *BPFProg) error {
		_, err := prog.AttachSockMap(1)
		return err
	})
	m := loadAttach(t, "on_message")
	prog := getProgram(t, m, "on_message")
	sockets := getMap(t, m, "sockets")
	inOwnNetwork(t, func() {
		link, err := prog.AttachSockMap(sockets.FileDescriptor())
		needKernel(t, err, 6, 10)
		wantCalls(t, m, callsMessage, link, err, func() { sendThrough(t, sockets) })
	})
	leaksNothing(t, func() {
		_, err := prog.AttachSockMap(getMap(t, m, "calls").FileDescriptor())
		wantErr(t, err, syscall.EINVAL, "on_message")
		_, err = prog.AttachSockMap(-1)
		wantErr(t, err, syscall.EBADF, "on_message", "map -1")
	})
}

// sendThrough sends over a TCP connection whose socket is in a sockmap.
func sendThrough(t *testing.T, sockets *BPFMap) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var updateErr error
	err = raw.Control(func(fd uintptr) {
		key, value := uint32(0), uint32(fd)
		updateErr = sockets.Update(unsafe.Pointer(&key), unsafe.Pointer(&value))
	})
	if err := errors.Join(err, updateErr); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
}

// Each way to attach that takes a cookie passes it to its program.
func TestAttachCookies(t *testing.T) {
	needTracefs(t)
	m := loadAttach(t, "on_tracepoint")
	link, err := getProgram(t, m, "on_tracepoint").AttachTracepointOpts("syscalls", "sys_enter_getpgid", TracepointOpts{Cookie: 1000})
	wantCalls(t, m, callsCookie, link, err, func() { trigger(0) })
	_, err = getProgram(t, m, "on_tracepoint").AttachTracepointOpts("syscalls", "nothing", TracepointOpts{Cookie: 1})
	wantErr(t, err, syscall.ENOENT, "on_tracepoint", "syscalls:nothing")
	_, err = getProgram(t, m, "on_tracepoint").AttachTraceOpts(TraceOpts{Cookie: 1})
	wantErr(t, err, syscall.EINVAL, "on_tracepoint")
	_, err = getProgram(t, m, "on_tracepoint").AttachFreplace(0, "")
	wantErr(t, err, syscall.EINVAL, "on_tracepoint", "BPF_PROG_TYPE_EXT")
	_, err = getProgram(t, m, "on_tracepoint").AttachKsyscall("no_such_call", KsyscallOpts{})
	wantErr(t, err, syscall.ENOENT, "on_tracepoint", `system call "no_such_call"`)

	needAttach(t, 4, "on_tracepoint", func(prog *BPFProg) error {
		_, err := prog.AttachRawTracepointOpts("sys_enter", RawTracepointOpts{})
		return err
	})
	m, err = tryLoadAttach(t, "on_raw_tracepoint", "on_trace")
	needKernel(t, err, 6, 10)
	link, err = getProgram(t, m, "on_trace").AttachTraceOpts(TraceOpts{Cookie: 1000})
	needKernel(t, err, 6, 10)
	wantCalls(t, m, callsCookie, link, err, func() { trigger(0) })
	link, err = getProgram(t, m, "on_raw_tracepoint").AttachRawTracepointOpts("sys_enter", RawTracepointOpts{Cookie: 1000})
	wantCalls(t, m, callsCookie, link, err, func() { trigger(0) })
	if n := calls(t, m, callsCookie); n < 2000 || n%1000 != 0 {
		t.Errorf("the cookies add up to %d", n)
	}
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

// skipUnverified skips where the kernel loads other tracing programs and refuses this one by EPERM before it has
// verified an instruction.
func skipUnverified(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var rejected *VerifierError
	verified := errors.As(err, &rejected) && !strings.Contains(rejected.Log, "processed 0 insns")
	if verified || !errors.Is(err, syscall.EPERM) {
		t.Fatal(err)
	}
	loadAttach(t, "on_trace")
	t.Skip(err)
}

func TestAttachIter(t *testing.T) {
	m, err := tryLoadAttach(t, "on_element")
	skipUnverified(t, err)
	prog := getProgram(t, m, "on_element")
	fd := getMap(t, m, "calls").FileDescriptor()
	link, err := prog.AttachIter(IterOpts{MapFd: fd})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := link.Reader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := io.ReadAll(reader); err != nil {
		t.Error(err)
	}
	if n := calls(t, m, callsIter); n != callsKeys {
		t.Errorf("the iterator saw %d elements, want %d", n, callsKeys)
	}
	_, err = prog.AttachIter(IterOpts{})
	wantErr(t, err, syscall.EBADF, "on_element")
	_, err = prog.AttachIter(IterOpts{MapFd: fd, Pid: 1})
	wantErr(t, err, syscall.EINVAL, "more than one")
}

func TestAttachKprobe(t *testing.T) {
	needTracefs(t)
	m := loadAttach(t, "on_kprobe")
	prog := getProgram(t, m, "on_kprobe")
	_, err := os.Stat("/sys/bus/event_source/devices/kprobe")
	if err != nil {
		_, attachErr := prog.AttachKprobe("__x64_sys_getpgid")
		if attachErr == nil {
			t.Fatal("a kprobe was attached on a kernel without them")
		}
		t.Skipf("this kernel has no kprobes: %v", attachErr)
	}
	function := map[string]string{"amd64": "__x64_sys_getpgid", "arm64": "__arm64_sys_getpgid"}[runtime.GOARCH]
	for _, attach := range []func(string) (*BPFLink, error){prog.AttachKprobe, prog.AttachKretprobe} {
		link, err := attach(function)
		wantCalls(t, m, callsKprobe, link, err, func() { trigger(0) })
	}
	_, err = prog.AttachKprobe("no_such_function")
	wantErr(t, err, syscall.ENOENT, "on_kprobe", "no_such_function")
}

func TestAttachKprobeOpts(t *testing.T) {
	m := loadAttach(t, "on_kprobe")
	prog := getProgram(t, m, "on_kprobe")
	_, err := prog.AttachKprobeOpts("a\x00b", KprobeOpts{})
	wantErr(t, err, syscall.EINVAL, "zero byte")
	_, err = prog.AttachKprobeOpts("do_getpgid", KprobeOpts{Offset: 1, AttachMode: 99})
	if needLibbpf(1, 2, "") == nil {
		wantErr(t, err, syscall.EINVAL, "on_kprobe", "do_getpgid+0x1")
	} else {
		wantErr(t, err, errors.ErrUnsupported, "libbpf 1.2")
	}
	_, err = prog.AttachKprobeMultiOpts("", KprobeMultiOpts{})
	wantErr(t, err, syscall.EINVAL, "on_kprobe")
	_, err = prog.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{"do_getpgid"}, Cookies: []uint64{1, 2}})
	wantErr(t, err, syscall.EINVAL, "do_getpgid", "1 functions and 2 cookies")
	_, err = prog.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{"a\x00b"}})
	wantErr(t, err, syscall.EINVAL, "zero byte")
	_, err = prog.AttachKprobeMultiOpts("do_getpg*", KprobeMultiOpts{Addresses: []uint64{1}})
	wantErr(t, err, syscall.EINVAL, "on_kprobe")
}

func TestAttachPrograms(t *testing.T) {
	needTracefs(t)
	m := openMain(t)
	for _, name := range []string{"send_many", "send_sized", "send_both", "send_slowly"} {
		getProgram(t, m, name).SetAutoattach(false)
	}
	tracepoint := getProgram(t, m, "count_tracepoint")
	if getProgram(t, m, "send_many").Autoattach() || !tracepoint.Autoattach() {
		t.Error("autoattach isn't what was set")
	}
	wantErr(t, m.AttachPrograms(), syscall.EINVAL, "isn't loaded")
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	if _, err := tracepoint.AttachGeneric(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is attached isn't attached again
		if err := m.AttachPrograms(); err != nil {
			t.Fatal(err)
		}
	}
	numbers := getMap(t, m, "numbers")
	trigger(0)
	if n := counted(t, numbers); n < 2 { // the raw tracepoint counts all system calls
		t.Errorf("counted %d", n)
	}
	if n := len(m.object.links()); n != 2 {
		t.Errorf("%d links", n)
	}
	if err := m.DetachPrograms(); err != nil {
		t.Error(err)
	}
	before := counted(t, numbers)
	trigger(0)
	if n := counted(t, numbers); n != before {
		t.Error("a program is still attached")
	}
}

// AttachPrograms looks at the programs that are attached now, and UpdateProgram changes those, also between modules.
func TestAttachProgramsAfterUpdate(t *testing.T) {
	open := func() (m *Module, list, count *BPFProg) {
		needBPF(t)
		m, err := NewModuleFromFile("testdata/iter.bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		return m, getProgram(t, m, "list_maps"), getProgram(t, m, "count_maps")
	}
	// wantLinks checks how many links run each of the programs.
	wantLinks := func(m *Module, lists, counts int) {
		t.Helper()
		if err := m.AttachPrograms(); err != nil {
			t.Fatal(err)
		}
		for _, l := range m.object.links() {
			reader, err := (&BPFLink{module: m, handle: l}).Reader()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(reader)
			if err := errors.Join(err, reader.Close()); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "a_map_of_mine\n") {
				lists--
			} else {
				counts--
			}
		}
		if lists != 0 || counts != 0 {
			t.Errorf("%d links less than wanted list the maps, and %d count them", lists, counts)
		}
	}
	m, list, count := open()
	link, err := list.AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	if err := link.UpdateProgram(count); err != nil {
		t.Fatal(err)
	}
	wantLinks(m, 1, 1)
	if err := link.Destroy(); err != nil {
		t.Fatal(err)
	}
	wantLinks(m, 1, 1)

	other, otherList, otherCount := open()
	link, err = list.AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, link.UpdateProgram(getProgram(t, loadAttach(t), "on_trace")), syscall.EBADF)
	if err := link.UpdateProgram(otherList); err != nil {
		t.Fatal(err)
	}
	otherCount.SetAutoattach(false)
	wantLinks(other, 0, 0)
	wantLinks(m, 2, 1)
	if err := link.Destroy(); err != nil {
		t.Fatal(err)
	}
	wantLinks(other, 1, 0)
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
