package main

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"
)

// The keys of the counters in testdata/attach.bpf.c.
const (
	callsUprobe    = 0
	callsURetprobe = 1
	callsPerfEvent = 3
	callsXDP       = 4
	callsCgroup    = 5
	callsNetns     = 6
	callsIter      = 7
	callsKprobe    = 8
	callsMulti     = 9
	callsTC        = 10
	callsSKB       = 11
)

// attached shows the results of an attach call, and whether the program runs before and after Destroy.
func attached(m *bpf.Module, key uint32, provoke func(), link *bpf.BPFLink, err error) {
	show("attach")(link, err)
	if err != nil {
		return
	}
	show("runs")(effect(m, "calls", key, provoke))
	show("descriptors")(link.FileDescriptor() >= 0, link.FileDescriptor() == link.GetFd())
	show("destroy")(link.Destroy())
	show("runs after it")(effect(m, "calls", key, provoke))
}

// ping sends a datagram over the loopback interface.
func ping() {
	socket := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(socket)
	check(unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Sendto(socket, []byte{1}, 0, must(unix.Getsockname(socket))))
}

// connect makes a TCP connection over the loopback interface.
func connect() {
	listener := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(listener)
	check(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(listener, 1))
	conn := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(conn)
	check(unix.Connect(conn, must(unix.Getsockname(listener))))
}

// epollCreate returns the path of the C library and the offset of epoll_create1 in it. libbpf calls this function when
// it creates a ring buffer.
func epollCreate() (path string, offset uint64) {
	for _, line := range strings.Split(string(must(os.ReadFile("/proc/self/maps"))), "\n") {
		if fields := strings.Fields(line); strings.Contains(line, "/libc.so") {
			path = fields[len(fields)-1]
		}
	}
	return path, functionOffset(path, "epoll_create1")
}

func init() {
	add(map[string]func(){
		"program-properties": func() {
			m := open(mainObject)
			prog := getProgram(m, "count")
			for _, state := range []string{"opened", "loaded"} {
				show("names, %s", state)(prog.Name(), prog.GetName(), prog.SectionName(), prog.GetSectionName())
				show("type, %s", state)(prog.GetType(), prog.GetType().Value(), prog.GetModule() == m)
				show("descriptor, %s", state)(prog.FileDescriptor() >= 0, prog.GetFd() >= 0)
				show("pin path, %s", state)(prog.PinPath(), prog.GetPinPath())
				show("autoload, %s", state)(prog.Autoload(), prog.Autoattach())
				show("set autoload, %s", state)(prog.SetAutoload(true))
				if state == "opened" {
					load(m)
				}
			}
		},
		"program-settings": func() {
			m := open(mainObject)
			prog := getProgram(m, "count")
			show("type")(prog.SetType(bpf.BPFProgTypeTracing), prog.GetType())
			prog.SetProgramType(bpf.BPFProgTypeRawTracepoint)
			show("type, the old way")(prog.GetType())
			show("attach type")(prog.SetExpectedAttachType(bpf.BPFAttachTypeTraceFentry))
			prog.SetAttachType(bpf.BPFAttachTypeCgroupInetIngress)
			show("target")(prog.SetAttachTarget(0, "no_such_function"))
			show("target of no program")(prog.SetAttachTarget(1000, "function"))
			show("empty target")(prog.SetAttachTarget(0, ""))
			other := getProgram(m, "count_tracepoint")
			show("leave out")(other.SetAutoload(false), other.Autoload())
			other.SetAutoattach(false)
			show("don't attach")(other.Autoattach())
			show("load")(m.BPFLoadObject())
			show("type after it")(prog.SetType(bpf.BPFProgTypeTracing))
			show("attach type after it")(prog.SetExpectedAttachType(bpf.BPFAttachTypeTraceFentry))
			show("target after it")(prog.SetAttachTarget(0, "function"))
			show("left out")(other.FileDescriptor() >= 0)
			show("attach what is left out")(other.AttachGeneric())
			show("pin what is left out")(other.Pin(pinPath("prog")))
			show("run what is left out")(other.Run(&bpf.RunOpts{}))
		},
		"program-pin": func() {
			m := loadFor(mainObject)
			prog := getProgram(m, "count")
			path := pinPath("prog")
			show("pin")(prog.Pin(path), prog.PinPath() == path)
			show("again")(prog.Pin(path))
			show("outside")(prog.Pin("/tmp/nothing"), prog.PinPath() == path)
			show("unpin from elsewhere")(prog.Unpin(path + "2"))
			show("unpin")(prog.Unpin(path), prog.PinPath())
			show("unpin again")(prog.Unpin(path))
			check(prog.Pin(path))
			m.Close()
			show("file after close")(fileExists(path))
		},
		"program-pin-relative": func() {
			prog := getProgram(loadFor(mainObject), "count")
			path := pinPath("prog")
			check(os.Chdir(filepath.Dir(path)))
			show("pin")(prog.Pin(filepath.Base(path)), prog.PinPath() == path)
			show("unpin")(prog.Unpin(path))
		},
		"attach-generic": func() {
			m := loadFor(mainObject)
			for _, name := range []string{"count", "count_tracepoint"} {
				link, err := getProgram(m, name).AttachGeneric()
				show("attach %s", name)(link, err)
				show("%s runs", name)(effect(m, "numbers", 1, func() { trigger(0) }))
				show("destroy")(link.Destroy())
				show("%s runs after it", name)(effect(m, "numbers", 1, func() { trigger(0) }))
			}
		},
		"attach-generic-nowhere": func() {
			m := loadOnly(attachObject, "on_uprobe", "on_perf_event", "on_xdp")
			for _, name := range []string{"on_uprobe", "on_perf_event", "on_xdp"} {
				show("%s", name)(getProgram(m, name).AttachGeneric())
			}
		},
		"attach-before-load": func() {
			prog := getProgram(open(mainObject), "count")
			show("by section")(prog.AttachGeneric())
			show("raw tracepoint")(prog.AttachRawTracepoint("sys_enter"))
			show("pin")(prog.Pin(pinPath("prog")))
			show("run")(prog.Run(&bpf.RunOpts{}))
		},
		"attach-tracepoint": func() {
			m := loadFor(mainObject)
			prog := getProgram(m, "count_tracepoint")
			show("no tracepoint")(prog.AttachTracepoint("syscalls", "nothing"))
			show("no category")(prog.AttachTracepoint("nothing", "sys_enter_getpgid"))
			show("empty names")(prog.AttachTracepoint("", ""))
			show("another kind of program")(getProgram(m, "count").AttachTracepoint("syscalls", "sys_enter_getpgid"))
			link, err := prog.AttachTracepoint("syscalls", "sys_enter_getpgid")
			show("attach")(link, err)
			show("runs")(effect(m, "numbers", 1, func() { trigger(0) }))
			show("attach twice")(prog.AttachTracepoint("syscalls", "sys_enter_getpgid"))
			show("destroy")(link.Destroy())
			show("runs after it")(effect(m, "numbers", 1, func() { trigger(0) }))
		},
		"attach-raw-tracepoint": func() {
			m := loadFor(mainObject)
			prog := getProgram(m, "count")
			show("no tracepoint")(prog.AttachRawTracepoint("nothing"))
			show("empty name")(prog.AttachRawTracepoint(""))
			show("another kind of program")(getProgram(m, "count_tracepoint").AttachRawTracepoint("sys_enter"))
			link, err := prog.AttachRawTracepoint("sys_enter")
			show("attach")(link, err)
			show("runs")(effect(m, "numbers", 1, func() { trigger(0) }))
			show("destroy")(link.Destroy())
		},
		"attach-kprobe": func() {
			m := loadOnly(attachObject, "on_kprobe")
			prog := getProgram(m, "on_kprobe")
			if _, err := os.Stat("/sys/bus/event_source/devices/kprobe"); err != nil {
				skip("this kernel has no kprobes: %v", err)
			}
			link, err := prog.AttachKprobe("do_getpgid")
			attached(m, callsKprobe, func() { trigger(0) }, link, err)
			link, err = prog.AttachKretprobe("do_getpgid")
			attached(m, callsKprobe, func() { trigger(0) }, link, err)
		},
		"attach-kprobe-nowhere": func() {
			prog := getProgram(loadOnly(attachObject, "on_kprobe"), "on_kprobe")
			show("no function")(prog.AttachKprobe("no_such_function"))
			show("no function's return")(prog.AttachKretprobe("no_such_function"))
			// The errno depends on the kernel.
			_, err := prog.AttachKprobeOffset(1)
			show("no address")(err == nil)
			_, err = prog.AttachKretprobeOnOffset(1)
			show("no address' return")(err == nil)
		},
		"attach-lsm": func() {
			m := loadFor(mainObject)
			show("no program for it")(getProgram(m, "count").AttachLSM())
		},
		"attach-uprobe": func() {
			m := loadOnly(attachObject, "on_uprobe", "on_uretprobe")
			path, offset := epollCreate()
			provoke := func() { _, _ = m.InitRingBuf("calls", make(chan []byte)) } // fails, since the map is no ring
			prog := getProgram(m, "on_uprobe")
			link, err := prog.AttachUprobe(os.Getpid(), path, offset)
			attached(m, callsUprobe, provoke, link, err)
			link, err = prog.AttachUprobe(0, path, offset)
			attached(m, callsUprobe, provoke, link, err)
			link, err = getProgram(m, "on_uretprobe").AttachURetprobe(os.Getpid(), path, offset)
			attached(m, callsURetprobe, provoke, link, err)
			show("no file")(prog.AttachUprobe(-1, "/nothing", offset))
			show("relative file")(prog.AttachUprobe(-1, "nothing", offset))
			show("no file of code")(prog.AttachUprobe(-1, "/dev/null", 0))
			show("no process")(prog.AttachUprobe(math.MaxInt32, path, offset))
			show("no file's return")(prog.AttachURetprobe(-1, "/nothing", offset))
			show("another kind of program")(getProgram(loadFor(mainObject), "count").AttachUprobe(-1, path, offset))
		},
		"attach-uprobe-multi": func() {
			m := loadOnly(attachObject, "on_uprobe_multi")
			path, offset := epollCreate()
			provoke := func() { _, _ = m.InitRingBuf("calls", make(chan []byte)) }
			prog := getProgram(m, "on_uprobe_multi")
			link, err := prog.AttachUprobeMulti(os.Getpid(), path, []uint64{offset}, []uint64{3})
			attached(m, callsMulti, provoke, link, err)
			link, err = prog.AttachURetprobeMulti(os.Getpid(), path, []uint64{offset}, []uint64{3})
			attached(m, callsMulti, provoke, link, err)
			link, err = prog.AttachUprobeMulti(os.Getpid(), path, []uint64{offset}, nil)
			show("without cookies")(link, err)
			show("no offsets")(prog.AttachUprobeMulti(-1, path, nil, nil))
			show("no file")(prog.AttachUprobeMulti(-1, "/nothing", []uint64{offset}, nil))
			show("no file's return")(prog.AttachURetprobeMulti(-1, "/nothing", []uint64{offset}, nil))
		},
		"attach-uprobe-name": func() {
			prog := getProgram(loadOnly(attachObject, "on_uprobe"), "on_uprobe")
			path, offset := epollCreate()
			dir := must(os.MkdirTemp("", "compat"))
			defer os.RemoveAll(dir)
			check(os.Symlink(path, filepath.Join(dir, "a-program-of-mine")))
			check(os.Chdir(dir))
			show("library of the system")(prog.AttachUprobe(-1, "libc.so.6", offset))
			show("file of the working directory")(prog.AttachUprobe(-1, "a-program-of-mine", offset))
			show("with a slash")(prog.AttachUprobe(-1, "./a-program-of-mine", offset))
		},
		"attach-uprobe-process": func() {
			path, offset := epollCreate()
			show("one")(getProgram(loadOnly(attachObject, "on_uprobe"), "on_uprobe").AttachUprobe(-2, path, offset))
			multi := getProgram(loadOnly(attachObject, "on_uprobe_multi"), "on_uprobe_multi")
			show("several")(multi.AttachUprobeMulti(-2, path, []uint64{offset}, nil))
			show("several returns")(multi.AttachURetprobeMulti(-2, path, []uint64{offset}, nil))
		},
		"attach-usdt-nowhere": func() {
			prog := getProgram(loadOnly(attachObject, "on_uprobe"), "on_uprobe")
			path, _ := epollCreate()
			show("no tracepoint")(prog.AttachUSDT(-1, path, "libc", "no_such_tracepoint"))
			show("no provider")(prog.AttachUSDT(-1, path, "", ""))
			show("no file")(prog.AttachUSDT(-1, "/nothing", "libc", "setjmp"))
			show("no process")(prog.AttachUSDT(math.MaxInt32, path, "libc", "setjmp"))
		},
		"attach-perf-event": func() {
			runtime.LockOSThread() // the event belongs to this thread
			m := loadOnly(attachObject, "on_perf_event")
			prog := getProgram(m, "on_perf_event")
			fd := must(unix.PerfEventOpen(&unix.PerfEventAttr{
				Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK,
				Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: 100_000,
			}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC))
			link, err := prog.AttachPerfEvent(fd)
			attached(m, callsPerfEvent, func() {
				for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
					// Use processor time: the event counts that of this thread.
				}
			}, link, err)
			show("no descriptor")(prog.AttachPerfEvent(-1))
			show("no event")(prog.AttachPerfEvent(0))
		},
		"attach-xdp": func() {
			m := loadOnly(attachObject, "on_xdp")
			prog := getProgram(m, "on_xdp")
			link, err := prog.AttachXDP("lo")
			if err == nil {
				show("attach twice")(prog.AttachXDP("lo"))
			}
			attached(m, callsXDP, ping, link, err)
			show("no interface")(prog.AttachXDP("nothing"))
			show("empty name")(prog.AttachXDP(""))
			show("legacy")(prog.AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode))
			show("runs")(effect(m, "calls", callsXDP, ping))
			show("legacy again")(prog.AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode|bpf.XDPFlagsUpdateIfNoExist))
			other := loadOnly(attachObject, "on_xdp")
			show("detach another's")(getProgram(other, "on_xdp").DetachXDPLegacy("lo", bpf.XDPFlagsSkbMode))
			show("detach")(prog.DetachXDPLegacy("lo", bpf.XDPFlagsSkbMode))
			show("detach again")(prog.DetachXDPLegacy("lo", bpf.XDPFlagsSkbMode))
			show("runs after it")(effect(m, "calls", callsXDP, ping))
			show("legacy without an interface")(prog.AttachXDPLegacy("nothing", bpf.XDPFlagsSkbMode))
			show("detach without an interface")(prog.DetachXDPLegacy("nothing", bpf.XDPFlagsSkbMode))
			show("both modes")(prog.AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode|bpf.XDPFlagsDrvMode))
		},
		"attach-not-loaded": func() {
			m := loadOnly(attachObject, "on_xdp", "on_skb")
			other := openOnly(attachObject)
			check(getProgram(m, "on_xdp").AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode))
			show("attach")(getProgram(other, "on_xdp").AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode))
			show("the other runs")(effect(m, "calls", callsXDP, ping))
			dir := must(os.MkdirTemp(cgroup2(), "compat-"))
			defer os.Remove(dir)
			fd := int(must(os.Open(dir)).Fd())
			check(getProgram(m, "on_skb").AttachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress, bpf.BPFFNone))
			show("detach")(getProgram(other, "on_skb").DetachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress))
			show("detach the other")(getProgram(m, "on_skb").DetachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress))
		},
		"attach-cgroup": func() {
			m := loadOnly(attachObject, "on_connect", "on_skb")
			prog := getProgram(m, "on_connect")
			root := cgroup2()
			link, err := prog.AttachCgroup(root)
			attached(m, callsCgroup, connect, link, err)
			show("no folder")(prog.AttachCgroup("/nothing"))
			show("file")(prog.AttachCgroup("/dev/null"))
			show("no cgroup")(prog.AttachCgroup("/tmp"))
			link, err = prog.AttachCgroupLegacy(root, bpf.BPFAttachTypeCgroupInet4Connect)
			attached(m, callsCgroup, connect, link, err)
			show("legacy, no folder")(prog.AttachCgroupLegacy("/nothing", bpf.BPFAttachTypeCgroupInet4Connect))
			show("legacy, no cgroup")(prog.AttachCgroupLegacy("/tmp", bpf.BPFAttachTypeCgroupInet4Connect))
			show("detach what isn't attached")(prog.DetachCgroupLegacy(root, bpf.BPFAttachTypeCgroupInet4Connect))
			show("detach, no folder")(prog.DetachCgroupLegacy("/nothing", bpf.BPFAttachTypeCgroupInet4Connect))
		},
		"attach-cgroup-legacy": func() {
			m := loadOnly(attachObject, "on_skb")
			prog := getProgram(m, "on_skb")
			// A link by section would attach the program to ingress. Only the legacy call attaches it to egress.
			link, err := prog.AttachCgroupLegacy(cgroup2(), bpf.BPFAttachTypeCgroupInetEgress)
			show("attach")(link, err)
			show("runs")(effect(m, "calls", callsSKB, ping))
			show("destroy legacy as another kind")(link.DestroyLegacy(bpf.Kprobe))
			show("runs after it")(effect(m, "calls", callsSKB, ping))
			show("destroy again")(link.Destroy() == nil)
			show("wrong attach type")(prog.AttachCgroupLegacy(cgroup2(), bpf.BPFAttachTypeXDP))
		},
		"attach-generic-fd": func() {
			m := loadOnly(attachObject, "on_skb")
			prog := getProgram(m, "on_skb")
			fd := int(must(os.Open(cgroup2())).Fd())
			show("attach")(prog.AttachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress, bpf.BPFFAllowMulti))
			show("runs")(effect(m, "calls", callsSKB, ping))
			show("detach")(prog.DetachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress))
			show("detach again")(prog.DetachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress))
			show("no descriptor")(prog.AttachGenericFD(-1, bpf.BPFAttachTypeCgroupInetEgress, bpf.BPFFNone))
			show("wrong attach type")(prog.AttachGenericFD(fd, bpf.BPFAttachTypeXDP, bpf.BPFFNone))
			show("wrong flags")(prog.AttachGenericFD(fd, bpf.BPFAttachTypeCgroupInetEgress, 1<<31))
		},
		"attach-netns": func() {
			m := loadOnly(attachObject, "on_lookup")
			prog := getProgram(m, "on_lookup")
			link, err := prog.AttachNetns("/proc/self/ns/net")
			attached(m, callsNetns, connect, link, err)
			show("no file")(prog.AttachNetns("/nothing"))
			show("no namespace")(prog.AttachNetns("/dev/null"))
		},
		"attach-netns-descriptors": func() {
			m := loadOnly(attachObject, "on_lookup")
			before := descriptors()
			link := must(getProgram(m, "on_lookup").AttachNetns("/proc/self/ns/net"))
			check(link.Destroy())
			show("descriptors left")(descriptors() - before)
		},
		"attach-iterator": func() {
			m := loadElementIterator()
			prog := getProgram(m, "on_element")
			link, err := prog.AttachIter(bpf.IterOpts{MapFd: getMap(m, "calls").FileDescriptor()})
			show("attach")(link, err)
			reader, err := link.Reader()
			show("reader")(reader, err)
			show("read")(reader.Read(make([]byte, 100)))
			show("once for each element")(counter(m, "calls", callsIter) == uint64(getMap(m, "calls").MaxEntries()))
			show("close")(reader.Close())
			show("destroy")(link.Destroy())
			show("no map")(prog.AttachIter(bpf.IterOpts{}))
			show("no descriptor of a map")(prog.AttachIter(bpf.IterOpts{MapFd: 1000}))
		},
		"attach-iterator-options": func() {
			m := loadElementIterator()
			fd := getMap(m, "calls").FileDescriptor()
			prog := getProgram(m, "on_element")
			show("map and process")(prog.AttachIter(bpf.IterOpts{MapFd: fd, Pid: os.Getpid()}))
			show("map and thread")(prog.AttachIter(bpf.IterOpts{MapFd: fd, Tid: os.Getpid()}))
			show("map and order")(prog.AttachIter(bpf.IterOpts{MapFd: fd, CgroupIterOrder: bpf.BPFIterSelfOnly}))
		},
		"attach-iterator-of-maps": func() {
			link := must(getProgram(load(open(iterObject)), "list_maps").AttachIter(bpf.IterOpts{}))
			text := make([]byte, 4096)
			n, err := must(link.Reader()).Read(text)
			show("read")(n > 0, err)
			show("destroy")(link.Destroy())
		},
		"iterator-reader": func() {
			m := load(open(iterObject))
			link := must(getProgram(m, "list_maps").AttachGeneric())
			reader := must(link.Reader())
			var all []byte
			buffer := make([]byte, 4096)
			n, err := reader.Read(buffer)
			for ; n > 0 && err == nil; n, err = reader.Read(buffer) {
				all = append(all, buffer[:n]...)
			}
			show("end")(n, err)
			show("names the map")(slices.Contains(strings.Fields(string(all)), "a_map_of_mine"))
			check(reader.Close())
			show("read after close")(reader.Read(buffer))
			tracepoint := must(getProgram(loadFor(mainObject), "count").AttachGeneric())
			show("of a link that is none")(tracepoint.Reader())
		},
		"iterator-reader-scanner": func() {
			link := must(getProgram(load(open(iterObject)), "list_maps").AttachGeneric())
			lines := bufio.NewScanner(must(link.Reader()))
			found := false
			for lines.Scan() {
				found = found || lines.Text() == "a_map_of_mine"
			}
			show("line and end")(found, lines.Err())
		},
		"iterator-reader-closed-twice": func() {
			link := must(getProgram(load(open(iterObject)), "list_maps").AttachGeneric())
			reader := must(link.Reader())
			show("close")(reader.Close())
			show("again")(reader.Close())
		},
		"link-pin": func() {
			m := loadFor(mainObject)
			link := must(getProgram(m, "count").AttachGeneric())
			path := pinPath("link")
			show("unpin before")(link.Unpin())
			show("pin")(link.Pin(path))
			show("again")(link.Pin(path))
			show("outside")(link.Pin("/tmp/nothing"))
			show("unpin")(link.Unpin(), fileExists(path))
			show("unpin again")(link.Unpin())
			check(link.Pin(path))
			show("destroy")(link.Destroy())
			show("runs while it is pinned")(effect(m, "numbers", 1, func() { trigger(0) }))
			check(os.Remove(path))
			// The kernel detaches the program some time after the pin is removed.
			show("ends after it")(within(func() {
				for effect(m, "numbers", 1, func() { trigger(0) }) {
					time.Sleep(time.Millisecond)
				}
			}))
		},
		"link-pin-outside-bpffs": func() {
			link := must(getProgram(loadFor(mainObject), "count").AttachGeneric())
			show("pin")(link.Pin("/tmp/nothing"))
			show("nowhere")(link.Pin(""))
		},
		"link-destroy-twice": func() {
			link := must(getProgram(loadFor(mainObject), "count").AttachGeneric())
			show("destroy")(link.Destroy())
			show("again")(link.Destroy())
		},
		"link-after-destroy": func() {
			link := must(getProgram(loadFor(mainObject), "count").AttachGeneric())
			check(link.Destroy())
			show("descriptor")(link.FileDescriptor() >= 0)
		},
		"close-destroys-links": func() {
			m := loadFor(mainObject)
			numbers := low(getMap(m, "numbers"))
			must(getProgram(m, "count").AttachRawTracepoint("sys_enter"))
			must(getProgram(m, "count_tracepoint").AttachTracepoint("syscalls", "sys_enter_getpgid"))
			m.Close()
			show("runs after close")(effectLow(numbers))
		},
		"close-destroys-generic-links": func() {
			m := loadFor(mainObject)
			numbers := low(getMap(m, "numbers"))
			must(getProgram(m, "count").AttachGeneric())
			m.Close()
			show("runs after close")(effectLow(numbers))
		},
		"close-destroys-uprobe-links": func() {
			m, other := loadOnly(attachObject, "on_uprobe"), loadFor(mainObject)
			calls := low(getMap(m, "calls"))
			path, offset := epollCreate()
			must(getProgram(m, "on_uprobe").AttachUprobe(os.Getpid(), path, offset))
			m.Close()
			before := must(calls.GetValue(ptr(uint32(callsUprobe))))
			must(other.InitRingBuf("events", make(chan []byte)))
			show("runs after close")(!slices.Equal(before, must(calls.GetValue(ptr(uint32(callsUprobe))))))
		},
		"attach-programs": func() {
			m := open(mainObject)
			check(m.InitGlobalVariable("target_pid", uint32(os.Getpid())))
			for _, name := range []string{"send_many", "send_sized", "send_both", "send_slowly"} {
				getProgram(m, name).SetAutoattach(false)
			}
			check(getProgram(m, "send_many").SetAutoload(false))
			show("before the load")(m.AttachPrograms())
			load(m)
			show("attach")(m.AttachPrograms())
			show("runs")(effect(m, "numbers", 1, func() { trigger(0) }))
			show("attach again")(m.AttachPrograms())
			show("detach")(m.DetachPrograms())
			show("runs after it")(effect(m, "numbers", 1, func() { trigger(0) }))
			show("detach again")(m.DetachPrograms())
			show("attach after it")(m.AttachPrograms())
			show("runs again")(effect(m, "numbers", 1, func() { trigger(0) }))
			m.Close()
		},
		"attach-programs-again": func() {
			m := loadFor(mainObject)
			for _, name := range []string{"send_many", "send_sized", "send_both", "send_slowly", "count"} {
				getProgram(m, name).SetAutoattach(false)
			}
			link := must(getProgram(m, "count_tracepoint").AttachTracepoint("syscalls", "sys_enter_getpgid"))
			check(link.Destroy())
			show("attach")(m.AttachPrograms())
			show("runs")(effect(m, "numbers", 1, func() { trigger(0) }))
			show("detach")(m.DetachPrograms())
		},
		"attach-programs-partly": func() {
			// The object's first program can't be attached by its section.
			m := loadOnly(attachObject, "on_uprobe", "on_xdp")
			show("attach")(m.AttachPrograms())
			show("detach")(m.DetachPrograms())
		},
		"run-xdp": func() {
			prog := getProgram(loadOnly(attachObject, "on_xdp"), "on_xdp")
			packet := make([]byte, 64)
			packet[0] = 0xaa
			opts := bpf.RunOpts{
				DataIn: packet, DataSizeIn: 64, DataOut: make([]byte, 100), DataSizeOut: 100, Repeat: 3,
			}
			show("run")(prog.Run(&opts))
			show("result")(opts.RetVal, opts.DataSizeOut, opts.DataOut, len(opts.DataIn), opts.Repeat, opts.Flags, opts.CPU, opts.BatchSize)
			show("duration")(opts.Duration >= 0)
			show("too small a packet")(prog.Run(&bpf.RunOpts{DataIn: packet[:1], DataSizeIn: 1}))
			show("no packet")(prog.Run(&bpf.RunOpts{}))
			small := bpf.RunOpts{DataIn: packet, DataSizeIn: 64, DataOut: make([]byte, 10), DataSizeOut: 10}
			show("too small an output")(prog.Run(&small))
			show("on a CPU")(prog.Run(&bpf.RunOpts{DataIn: packet, DataSizeIn: 64, Flags: bpf.RunFlagRunOnCPU}))
		},
		"run-raw-tracepoint": func() {
			prog := getProgram(loadFor(mainObject), "count")
			opts := bpf.RunOpts{CtxIn: make([]byte, 16), CtxSizeIn: 16}
			show("run")(prog.Run(&opts), opts.RetVal)
			show("on a CPU")(prog.Run(&bpf.RunOpts{Flags: bpf.RunFlagRunOnCPU, CPU: 0}))
			show("on no CPU")(prog.Run(&bpf.RunOpts{Flags: bpf.RunFlagRunOnCPU, CPU: 9999}))
			show("with data")(prog.Run(&bpf.RunOpts{DataIn: make([]byte, 16), DataSizeIn: 16}))
			show("no way to")(getProgram(loadFor(mainObject), "count_tracepoint").Run(&bpf.RunOpts{}))
		},
		"run-size-omitted": func() {
			prog := getProgram(loadOnly(attachObject, "on_xdp"), "on_xdp")
			buffer := make([]byte, 128)
			opts := bpf.RunOpts{DataIn: bytes.Repeat([]byte{0xaa}, 64), DataSizeIn: 64, DataOut: buffer[:16:16]}
			_ = prog.Run(&opts)
			show("nothing is written behind the slice")(bytes.Count(buffer[16:], []byte{0}) == 112)
		},
		"run-documented-way": func() {
			prog := getProgram(loadOnly(attachObject, "on_xdp"), "on_xdp")
			opts := bpf.RunOpts{
				DataIn: make([]byte, 0, 14), DataSizeIn: 14, DataOut: make([]byte, 0, 14), DataSizeOut: 14, Repeat: 1,
			}
			show("run")(prog.Run(&opts), opts.RetVal, opts.DataSizeOut, len(opts.DataOut))
		},
		"run-nil": func() {
			prog := getProgram(loadOnly(attachObject, "on_xdp"), "on_xdp")
			show("run")(prog.Run(nil))
		},
		"tc-hook": func() {
			m := loadOnly(attachObject, "on_packet")
			prog := getProgram(m, "on_packet")
			hook := m.TcHookInit()
			show("no interface")(hook.SetInterfaceByName("nothing"))
			show("create for none")(hook.Create())
			show("interface")(hook.SetInterfaceByName("lo"), hook.GetInterfaceIndex())
			hook.SetInterfaceByIndex(77)
			show("interface by index")(hook.GetInterfaceIndex())
			hook.SetInterfaceByIndex(1)
			show("create without a place")(hook.Create())
			hook.SetAttachPoint(bpf.BPFTcIngressEgress)
			err := hook.Create()
			if class(err) == "ENOENT" {
				skip("this kernel has no clsact: %v", err)
			}
			show("create")(err)
			show("create again")(hook.Create())
			hook.SetAttachPoint(bpf.BPFTcEgress)
			opts := bpf.TcOpts{ProgFd: prog.FileDescriptor()}
			show("query before")(hook.Query(&bpf.TcOpts{Handle: 1, Priority: 1}))
			show("attach")(hook.Attach(&opts))
			show("options")(opts.ProgFd == prog.FileDescriptor(), opts.ProgId > 0, opts.Handle, opts.Priority, opts.Flags)
			show("runs")(effect(m, "calls", callsTC, ping))
			same := bpf.TcOpts{ProgFd: prog.FileDescriptor(), Handle: opts.Handle, Priority: opts.Priority}
			show("attach at the same place")(hook.Attach(&same))
			same.Flags = bpf.BpfTcFReplace
			show("replace")(hook.Attach(&same))
			query := bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}
			show("query")(hook.Query(&query))
			show("its answer")(query.ProgId == opts.ProgId, query.ProgFd, query.Handle, query.Priority, query.Flags)
			show("query another")(hook.Query(&bpf.TcOpts{Handle: 77, Priority: opts.Priority}))
			show("query a priority too large")(hook.Query(&bpf.TcOpts{Handle: 1, Priority: 1 << 16}))
			show("attach no program")(hook.Attach(&bpf.TcOpts{ProgFd: -1}))
			show("detach")(hook.Detach(&bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}))
			show("detach again")(hook.Detach(&bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}))
			show("runs after it")(effect(m, "calls", callsTC, ping))
			hook.SetAttachPoint(bpf.BPFTcCustom)
			hook.SetParent(1, 2)
			show("create a custom one")(hook.Create())
			hook.SetAttachPoint(bpf.BPFTcIngressEgress)
			show("destroy")(hook.Destroy())
		},
		"tc-hook-options-again": func() {
			m := loadOnly(attachObject, "on_packet")
			hook := m.TcHookInit()
			hook.SetInterfaceByIndex(1)
			hook.SetAttachPoint(bpf.BPFTcIngressEgress)
			if err := hook.Create(); err != nil {
				skip("this kernel has no clsact: %v", err)
			}
			hook.SetAttachPoint(bpf.BPFTcEgress)
			opts := bpf.TcOpts{ProgFd: getProgram(m, "on_packet").FileDescriptor()}
			show("attach")(hook.Attach(&opts))
			show("attach again")(hook.Attach(&opts))
			show("query")(hook.Query(&opts))
			show("detach")(hook.Detach(&opts))
			hook.SetAttachPoint(bpf.BPFTcCustom)
			hook.SetParent(0x10001, 1)
			show("parent beyond 16 bits")(hook.Create())
			hook.SetParent(1, 1)
			hook.SetInterfaceByIndex(1<<32 + 1)
			show("interface beyond 32 bits")(hook.GetInterfaceIndex(), hook.Create())
		},
		"tc-hook-nil-options": func() {
			hook := loadOnly(attachObject, "on_packet").TcHookInit()
			show("query")(hook.Query(nil))
		},
		"tc-hook-large-handle": func() {
			m := loadOnly(attachObject, "on_packet")
			hook := m.TcHookInit()
			hook.SetInterfaceByIndex(1)
			hook.SetAttachPoint(bpf.BPFTcIngress)
			if err := hook.Create(); err != nil {
				skip("this kernel has no clsact: %v", err)
			}
			opts := bpf.TcOpts{ProgFd: getProgram(m, "on_packet").FileDescriptor(), Handle: 1<<32 | 5, Priority: 1}
			show("attach")(hook.Attach(&opts), opts.Handle)
		},
		"btf-by-id": func() {
			m := loadFor(mainObject)
			info := must(bpf.GetMapInfoByFD(getMap(m, "numbers").FileDescriptor()))
			fd, err := bpf.GetBTFFDByID(info.BTFID)
			show("descriptor")(fd > 0, err)
			check(syscall.Close(fd))
			fd, err = bpf.GetBTFFDByID(math.MaxInt32)
			show("none")(fd < 0, err)
		},
	})
}

// effectLow reports whether a program still counts its runs. Its counter is in a map that outlives the module.
func effectLow(numbers *bpf.BPFMapLow) bool {
	before, _ := numbers.GetValue(ptr(uint32(1)))
	trigger(0)
	after, _ := numbers.GetValue(ptr(uint32(1)))
	return !slices.Equal(before, after)
}
