package libbpfgo

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"
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

// makeEpoll makes libbpf call getpagesize and epoll_create1, which nothing else here does, and which no
// sanitizer has in its own hands.
func makeEpoll(m *Module) {
	_, _ = m.InitRingBuf("calls", make(chan []byte)) // which is none
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
