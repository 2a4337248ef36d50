package libbpfgo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// optionFields returns the fields of the exported structs of options, as Struct.Field.
func optionFields(t *testing.T) []string {
	t.Helper()
	var fields []string
	for _, file := range packageFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			kind, ok := spec.Type.(*ast.StructType)
			isOptions := slices.ContainsFunc([]string{"Opts", "Options", "Args", "Callbacks"}, func(suffix string) bool {
				return strings.HasSuffix(spec.Name.Name, suffix)
			})
			if !ok || !isOptions {
				return true
			}
			for _, field := range kind.Fields.List {
				for _, name := range field.Names {
					fields = append(fields, spec.Name.Name+"."+name.Name)
				}
			}
			return true
		})
	}
	return fields
}

// Each field of each option struct has an effect: a call that sets it differs from one that doesn't, in the kernel's
// information on the result, in the behavior, or in the error.
func TestOptions(t *testing.T) {
	needTracefs(t)
	for name, check := range optionChecks {
		t.Run(name, check)
	}
}

// A field that is new has a check.
func TestOptionsAreAll(t *testing.T) {
	fields := optionFields(t)
	for _, name := range fields {
		if _, ok := optionChecks[name]; !ok {
			t.Errorf("%s has no check", name)
		}
	}
	for name := range optionChecks {
		if !slices.Contains(fields, name) {
			t.Errorf("there is no %s, which has a check", name)
		}
	}
}

var optionChecks = map[string]func(*testing.T){
	"TracepointOpts.Cookie": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_tracepoint"), "on_tracepoint")
		wantCookie(t, prog, func(cookie uint64) (*BPFLink, error) {
			return prog.AttachTracepointOpts("syscalls", "sys_enter_getpgid", TracepointOpts{Cookie: cookie})
		})
	},
	"RawTracepointOpts.Cookie": func(t *testing.T) {
		prog := loadOption(t, "on_raw_tracepoint")
		wantCookie(t, prog, func(cookie uint64) (*BPFLink, error) {
			return prog.AttachRawTracepointOpts("sys_enter", RawTracepointOpts{Cookie: cookie})
		})
	},
	"TraceOpts.Cookie": func(t *testing.T) {
		prog := loadOption(t, "on_trace")
		wantCookie(t, prog, func(cookie uint64) (*BPFLink, error) { return prog.AttachTraceOpts(TraceOpts{Cookie: cookie}) })
	},
	"PerfEventOpts.Cookie": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_perf_event"), "on_perf_event")
		runtime.LockOSThread() // whose event it is
		defer runtime.UnlockOSThread()
		wantCookieOf(t, prog, burn, func(cookie uint64) (*BPFLink, error) {
			fd := openClock(t)
			link, err := prog.AttachPerfEventOpts(fd, PerfEventOpts{Cookie: cookie})
			if err != nil {
				unix.Close(fd)
			}
			return link, err
		})
	},

	"KprobeOpts.Offset": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe")
		// No instruction begins there.
		link, err := prog.AttachKprobeOpts(systemCall(), KprobeOpts{Offset: 1})
		if err == nil {
			_ = link.Destroy()
			t.Fatal("a probe in the middle of an instruction")
		}
		if !strings.Contains(err.Error(), "'"+systemCall()+"+0x1'") {
			t.Errorf("libbpf has not got the offset: %v", err)
		}
	},
	"KprobeOpts.Cookie": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe")
		wantCookie(t, prog, func(cookie uint64) (*BPFLink, error) {
			return prog.AttachKprobeOpts(systemCall(), KprobeOpts{Cookie: cookie})
		})
	},
	"KprobeOpts.Retprobe": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe")
		wantReturn(t, prog, func() { trigger(0) }, func(isReturn bool) (*BPFLink, error) {
			return prog.AttachKprobeOpts(systemCall(), KprobeOpts{Retprobe: isReturn})
		})
	},
	"KprobeOpts.AttachMode": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe")
		_, err := prog.AttachKprobeOpts(systemCall(), KprobeOpts{AttachMode: 99})
		if !olderLibbpf(err) {
			wantErr(t, err, syscall.EINVAL, "on_kprobe")
		}
		link, err := prog.AttachKprobeOpts(systemCall(), KprobeOpts{AttachMode: ProbeAttachModePerf})
		if lacks(t, err, errors.ErrUnsupported) {
			return
		}
		wantNoLink(t, link)
	},
	"KsyscallOpts.Cookie": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe")
		wantCookie(t, prog, func(cookie uint64) (*BPFLink, error) {
			return prog.AttachKsyscall("getpgid", KsyscallOpts{Cookie: cookie})
		})
	},
	"KsyscallOpts.Retprobe": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe")
		wantReturn(t, prog, func() { trigger(0) }, func(isReturn bool) (*BPFLink, error) {
			return prog.AttachKsyscall("getpgid", KsyscallOpts{Retprobe: isReturn})
		})
	},
	"KprobeMultiOpts.Symbols": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe_multi")
		_, err := prog.AttachKprobeMultiOpts("", KprobeMultiOpts{})
		wantErr(t, err, syscall.EINVAL)
		wantHit(t, prog, KprobeMultiOpts{Symbols: []string{systemCall()}})
		_, err = prog.AttachKprobeMultiOpts(systemCall(), KprobeMultiOpts{Symbols: []string{systemCall()}})
		wantErr(t, err, syscall.EINVAL)
	},
	"KprobeMultiOpts.Addresses": func(t *testing.T) {
		prog, address := loadOption(t, "on_kprobe_multi"), kernelAddress(t, systemCall())
		wantHit(t, prog, KprobeMultiOpts{Addresses: []uint64{address}})
		_, err := prog.AttachKprobeMultiOpts(systemCall(), KprobeMultiOpts{Addresses: []uint64{address}})
		wantErr(t, err, syscall.EINVAL)
	},
	"KprobeMultiOpts.Cookies": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe_multi")
		wantCookie(t, prog, func(cookie uint64) (*BPFLink, error) {
			return prog.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{systemCall()}, Cookies: []uint64{cookie}})
		})
	},
	"KprobeMultiOpts.Retprobe": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe_multi")
		wantReturn(t, prog, func() { trigger(0) }, func(isReturn bool) (*BPFLink, error) {
			return prog.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{systemCall()}, Retprobe: isReturn})
		})
		if needLibbpf(1, 5, "") == nil { // it doesn't go with a session
			_, err := prog.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{systemCall()}, Retprobe: true, Session: true})
			wantErr(t, err, syscall.EINVAL)
		}
	},
	"KprobeMultiOpts.Session": func(t *testing.T) {
		prog := loadOption(t, "on_kprobe_multi")
		_, err := prog.AttachKprobeMultiOpts("", KprobeMultiOpts{Symbols: []string{systemCall()}, Retprobe: true, Session: true})
		if !olderLibbpf(err) {
			wantErr(t, err, syscall.EINVAL)
		}
		wantHit(t, prog, KprobeMultiOpts{Symbols: []string{systemCall()}, Retprobe: true})
	},

	"UprobeOpts.FuncName": func(t *testing.T) {
		m := loadAttach(t, "on_uprobe")
		path, _ := ownFunction(t, "epoll_create1")
		link, err := getProgram(t, m, "on_uprobe").AttachUprobeOpts(0, path, 0, UprobeOpts{FuncName: "epoll_create1"})
		wantCalls(t, m, callsUprobe, link, err, func() { makeEpoll(m) })
	},
	"UprobeOpts.RefCtrOffset": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_uprobe"), "on_uprobe")
		wantSemaphore(t, func(path string, function, semaphore uint64) (*BPFLink, error) {
			return prog.AttachUprobeOpts(0, path, function, UprobeOpts{RefCtrOffset: semaphore})
		})
	},
	"UprobeOpts.Cookie": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_cookie"), "on_cookie")
		path, offset := ownFunction(t, "epoll_create1")
		wantCookieOf(t, prog, func() { makeEpoll(prog.GetModule()) }, func(cookie uint64) (*BPFLink, error) {
			return prog.AttachUprobeOpts(0, path, offset, UprobeOpts{Cookie: cookie})
		})
	},
	"UprobeOpts.Retprobe": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_uprobe"), "on_uprobe")
		path, offset := ownFunction(t, "epoll_create1")
		wantReturn(t, prog, func() { makeEpoll(prog.GetModule()) }, func(isReturn bool) (*BPFLink, error) {
			return prog.AttachUprobeOpts(0, path, offset, UprobeOpts{Retprobe: isReturn})
		})
	},
	"UprobeOpts.AttachMode": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_uprobe"), "on_uprobe")
		path, offset := ownFunction(t, "epoll_create1")
		link, err := prog.AttachUprobeOpts(0, path, offset, UprobeOpts{AttachMode: ProbeAttachModePerf})
		if olderLibbpf(err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		wantNoLink(t, link)
	},
	"UprobeMultiOpts.Symbols": func(t *testing.T) {
		path, _ := ownFunction(t, "epoll_create1")
		wantUprobes(t, path, UprobeMultiOpts{Symbols: []string{"epoll_create1"}})
	},
	"UprobeMultiOpts.Offsets": func(t *testing.T) {
		path, offset := ownFunction(t, "epoll_create1")
		wantUprobes(t, path, UprobeMultiOpts{Offsets: []uint64{offset}})
	},
	"UprobeMultiOpts.RefCtrOffsets": func(t *testing.T) {
		prog := loadOption(t, "on_uprobe_multi")
		wantSemaphore(t, func(path string, function, semaphore uint64) (*BPFLink, error) {
			return prog.AttachUprobeMultiOpts(0, path, "", UprobeMultiOpts{Offsets: []uint64{function}, RefCtrOffsets: []uint64{semaphore}})
		})
	},
	"UprobeMultiOpts.Cookies": func(t *testing.T) {
		path, offset := ownFunction(t, "epoll_create1")
		if wantUprobes(t, path, UprobeMultiOpts{Offsets: []uint64{offset}, Cookies: []uint64{1000}})%1000 != 0 {
			t.Error("the program has not got the cookie")
		}
	},
	"UprobeMultiOpts.Retprobe": func(t *testing.T) {
		prog := loadOption(t, "on_uprobe_multi")
		path, offset := ownFunction(t, "epoll_create1")
		wantReturn(t, prog, func() { makeEpoll(prog.GetModule()) }, func(isReturn bool) (*BPFLink, error) {
			return prog.AttachUprobeMultiOpts(0, path, "", UprobeMultiOpts{Offsets: []uint64{offset}, Retprobe: isReturn})
		})
	},
	"UprobeMultiOpts.Session": func(t *testing.T) {
		prog := loadOption(t, "on_uprobe_multi")
		path, offset := ownFunction(t, "epoll_create1")
		// The program isn't for sessions.
		_, err := prog.AttachUprobeMultiOpts(0, path, "", UprobeMultiOpts{Offsets: []uint64{offset}, Session: true})
		if !olderLibbpf(err) {
			wantErr(t, err, syscall.EINVAL)
		}
	},
	"USDTOpts.Cookie": func(t *testing.T) {
		m, _ := loadTargets(t)
		t.Chdir(t.TempDir())
		writeTarget(t, buildTarget(targetSpec{}))
		const cookie = 0x1122334455667788
		link, err := getTargetProgram(t, m, "on_tracepoint").AttachUSDTOpts(-1, "./target", "test", "probe", USDTOpts{Cookie: cookie})
		if err != nil {
			t.Fatal(err)
		}
		defer link.Destroy()
		// libbpf passes the tracepoint's properties to the program in this map.
		key := uint32(0)
		spec, err := getMap(t, m, "__bpf_usdt_specs").GetValue(unsafe.Pointer(&key))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(spec, binary.NativeEndian.AppendUint64(nil, cookie)) {
			t.Errorf("the cookie isn't in %x", spec)
		}
	},

	"OrderOpts.Flags":            func(t *testing.T) { wantOrders(t, "Flags") },
	"OrderOpts.RelativeFD":       func(t *testing.T) { wantOrders(t, "RelativeFD") },
	"OrderOpts.RelativeID":       func(t *testing.T) { wantOrders(t, "RelativeID") },
	"OrderOpts.ExpectedRevision": func(t *testing.T) { wantOrders(t, "ExpectedRevision") },

	"NetfilterOpts.ProtocolFamily": func(t *testing.T) {
		wantNetfilter(t, 16, NetfilterOpts{ProtocolFamily: unix.AF_INET, Priority: 1}, unix.AF_INET)
		wantNetfilter(t, 16, NetfilterOpts{ProtocolFamily: unix.AF_INET6, Priority: 1}, unix.AF_INET6)
	},
	"NetfilterOpts.Hook": func(t *testing.T) {
		wantNetfilter(t, 20, NetfilterOpts{ProtocolFamily: unix.AF_INET, Hook: 3, Priority: 1}, 3)
	},
	"NetfilterOpts.Priority": func(t *testing.T) {
		wantNetfilter(t, 24, NetfilterOpts{ProtocolFamily: unix.AF_INET, Priority: 77}, 77)
		wantNetfilter(t, 24, NetfilterOpts{ProtocolFamily: unix.AF_INET, Priority: -100}, 1<<32-100)
	},
	"NetfilterOpts.Flags": func(t *testing.T) {
		prog := loadOption(t, "on_netfilter")
		if prog.FileDescriptor() >= 0 {
			_, err := prog.AttachNetfilter(NetfilterOpts{ProtocolFamily: unix.AF_INET, Priority: 1, Flags: 1 << 31})
			wantErr(t, err, syscall.EOPNOTSUPP, "on_netfilter")
		}
	},

	"IterOpts.MapFd": func(t *testing.T) {
		prog := loadOption(t, "on_element")
		calls := getMap(t, prog.GetModule(), "calls")
		if calls.FileDescriptor() < 0 {
			return // the kernel has refused the program
		}
		info, err := GetMapInfoByFD(calls.FileDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		wantIter(t, prog, IterOpts{MapFd: calls.FileDescriptor()}, 28, uint64(info.ID), 4)
	},
	"IterOpts.CgroupIterOrder": func(t *testing.T) {
		const descendants, ancestors = 2, 4
		for _, order := range []BPFCgroupIterOrder{descendants, ancestors} {
			wantIter(t, loadOption(t, "on_group"), IterOpts{CgroupIterOrder: order}, 40, uint64(order), 4)
		}
	},
	"IterOpts.CgroupFd": func(t *testing.T) {
		dir, err := os.Open(newCgroup(t))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		wantIter(t, loadOption(t, "on_group"), IterOpts{CgroupIterOrder: 1, CgroupFd: int(dir.Fd())}, 32, inode(t, dir.Name()), 8)
	},
	"IterOpts.CgroupId": func(t *testing.T) {
		id := inode(t, newCgroup(t))
		wantIter(t, loadOption(t, "on_group"), IterOpts{CgroupIterOrder: 1, CgroupId: id}, 32, id, 8)
	},
	"IterOpts.Tid": func(t *testing.T) {
		wantIter(t, loadOption(t, "on_task"), IterOpts{Tid: os.Getpid()}, 32, uint64(os.Getpid()), 4)
	},
	"IterOpts.Pid": func(t *testing.T) {
		wantIter(t, loadOption(t, "on_task"), IterOpts{Pid: os.Getpid()}, 36, uint64(os.Getpid()), 4)
	},
	"IterOpts.PidFd": func(t *testing.T) {
		fd, err := unix.PidfdOpen(os.Getpid(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		wantIter(t, loadOption(t, "on_task"), IterOpts{PidFd: fd}, 36, uint64(os.Getpid()), 4)
	},

	"RunOpts.DataIn": func(t *testing.T) {
		if out := runXDP(t, RunOpts{DataIn: packetOf(7), DataOut: make([]byte, 64)}).DataOut; out[0] != 7 {
			t.Errorf("the packet is %v", out)
		}
	},
	"RunOpts.DataOut": func(t *testing.T) {
		for _, n := range []int{0, 64} {
			if out := runXDP(t, RunOpts{DataIn: packetOf(7), DataOut: make([]byte, n)}).DataOut; len(out) != n || n > 0 && out[0] != 7 {
				t.Errorf("the packet is %v", out)
			}
		}
	},
	"RunOpts.DataSizeIn": func(t *testing.T) {
		for _, n := range []uint32{32, 48} {
			if out := runXDP(t, RunOpts{DataIn: packetOf(7), DataSizeIn: n, DataOut: make([]byte, 64)}).DataOut; len(out) != int(n) {
				t.Errorf("the packet has %d bytes, want %d", len(out), n)
			}
		}
	},
	"RunOpts.DataSizeOut": func(t *testing.T) {
		opts := RunOpts{DataIn: packetOf(7), DataOut: make([]byte, 64), DataSizeOut: 10}
		wantErr(t, getProgram(t, loadAttach(t, "on_xdp"), "on_xdp").Run(&opts), syscall.ENOSPC)
		if opts.DataSizeOut != 64 || len(opts.DataOut) != 10 {
			t.Errorf("%+v", opts)
		}
	},
	"RunOpts.CtxIn": func(t *testing.T) {
		for _, n := range []byte{1, 2} {
			opts := RunOpts{CtxIn: []byte{n, 0, 0, 0, 0, 0, 0, 0}}
			if runRaw(t, &opts); byte(opts.RetVal) != n {
				t.Errorf("the program has got %d, want %d", byte(opts.RetVal), n)
			}
		}
	},
	"RunOpts.CtxOut": func(t *testing.T) {
		context := xdpContext(64)
		for _, n := range []int{0, len(context)} {
			if out := runXDP(t, RunOpts{DataIn: packetOf(7), CtxIn: context, CtxOut: make([]byte, n)}).CtxOut; !bytes.Equal(out, context[:n]) {
				t.Errorf("the context is %v", out)
			}
		}
	},
	"RunOpts.CtxSizeIn": func(t *testing.T) {
		opts := RunOpts{CtxIn: make([]byte, 8, 4096), CtxSizeIn: 4096}
		wantErr(t, getProgram(t, loadAttach(t, "on_run"), "on_run").Run(&opts), syscall.EINVAL, "CtxIn of 4096")
		opts.CtxSizeIn = 8
		runRaw(t, &opts)
	},
	"RunOpts.CtxSizeOut": func(t *testing.T) {
		opts := RunOpts{DataIn: packetOf(7), CtxIn: xdpContext(64), CtxOut: make([]byte, 24), CtxSizeOut: 8}
		wantErr(t, getProgram(t, loadAttach(t, "on_xdp"), "on_xdp").Run(&opts), syscall.ENOSPC)
		if opts.CtxSizeOut != 24 || len(opts.CtxOut) != 8 {
			t.Errorf("%+v", opts)
		}
	},
	"RunOpts.RetVal": func(t *testing.T) {
		const pass = 2 // XDP_PASS
		if got := runXDP(t, RunOpts{DataIn: packetOf(7), RetVal: 99}).RetVal; got != pass {
			t.Errorf("the program returned %d", got)
		}
	},
	"RunOpts.Repeat": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_xdp"), "on_xdp")
		for _, n := range []int{0, 5} {
			before := calls(t, prog.GetModule(), callsXDP)
			if err := prog.Run(&RunOpts{DataIn: packetOf(7), Repeat: n}); err != nil {
				t.Fatal(err)
			}
			if got := calls(t, prog.GetModule(), callsXDP) - before; got != max(uint64(n), 1) {
				t.Errorf("the program ran %d times, want %d", got, n)
			}
		}
	},
	"RunOpts.Duration": func(t *testing.T) {
		if got := runXDP(t, RunOpts{DataIn: packetOf(7), Duration: -1, Repeat: 100}).Duration; got < 0 {
			t.Errorf("a run took %v", got)
		}
	},
	"RunOpts.Flags": func(t *testing.T) {
		prog := getProgram(t, loadAttach(t, "on_xdp"), "on_xdp")
		wantErr(t, prog.Run(&RunOpts{DataIn: packetOf(7), Flags: 1 << 31}), syscall.EINVAL, "on_xdp")
	},
	"RunOpts.CPU": func(t *testing.T) {
		const onCPU = 1 // BPF_F_TEST_RUN_ON_CPU
		for cpu := range uint32(runtime.NumCPU()) {
			opts := RunOpts{CtxIn: make([]byte, 8), Flags: onCPU, CPU: cpu}
			if runRaw(t, &opts); opts.RetVal>>8 != cpu {
				t.Errorf("the program ran on CPU %d, want %d", opts.RetVal>>8, cpu)
			}
		}
		opts := RunOpts{CtxIn: make([]byte, 8), Flags: onCPU, CPU: 1 << 20}
		wantErr(t, getProgram(t, loadAttach(t, "on_run"), "on_run").Run(&opts), syscall.ENXIO, "on_run")
	},
	"RunOpts.BatchSize": func(t *testing.T) {
		// Without frames that live, there is no batch.
		prog := getProgram(t, loadAttach(t, "on_xdp"), "on_xdp")
		wantErr(t, prog.Run(&RunOpts{DataIn: packetOf(7), BatchSize: 8}), syscall.EINVAL, "on_xdp")
	},

	"BPFMapCreateOpts.BTFFD":          func(t *testing.T) { wantMapTypes(t) },
	"BPFMapCreateOpts.BTFKeyTypeID":   func(t *testing.T) { wantMapTypes(t) },
	"BPFMapCreateOpts.BTFValueTypeID": func(t *testing.T) { wantMapTypes(t) },
	"BPFMapCreateOpts.BTFVmlinuxValueTypeID": func(t *testing.T) {
		// It is for struct_ops alone.
		_, err := createMap(t, MapTypeArray, 4, 8, &BPFMapCreateOpts{BTFVmlinuxValueTypeID: 1})
		wantErr(t, err, syscall.EINVAL)
	},
	"BPFMapCreateOpts.InnerMapFD": func(t *testing.T) {
		inner, err := createMap(t, MapTypeArray, 4, 8, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := createMap(t, MapTypeArrayOfMaps, 4, 4, &BPFMapCreateOpts{InnerMapFD: uint32(inner.FileDescriptor())}); err != nil {
			t.Error(err)
		}
		if _, err := createMap(t, MapTypeArrayOfMaps, 4, 4, &BPFMapCreateOpts{}); err == nil {
			t.Error("a map of maps like none was created")
		}
	},
	"BPFMapCreateOpts.MapFlags": func(t *testing.T) {
		wantMapInfo(t, MapTypeHash, 4, &BPFMapCreateOpts{MapFlags: unix.BPF_F_NO_PREALLOC}, "MapFlags", unix.BPF_F_NO_PREALLOC)
	},
	"BPFMapCreateOpts.MapExtra": func(t *testing.T) {
		wantMapInfo(t, MapTypeBloomFilter, 0, &BPFMapCreateOpts{MapExtra: 3}, "MapExtra", 3)
	},
	"BPFMapCreateOpts.NumaNode": func(t *testing.T) {
		for node, want := range map[uint32]error{0: nil, 1 << 20: syscall.EINVAL} {
			_, err := createMap(t, MapTypeHash, 4, 8, &BPFMapCreateOpts{MapFlags: unix.BPF_F_NUMA_NODE, NumaNode: node})
			if !errors.Is(err, want) {
				t.Errorf("node %d: %v, want %v", node, err, want)
			}
		}
	},
	"BPFMapCreateOpts.MapIfIndex": func(t *testing.T) {
		if _, err := createMap(t, MapTypeHash, 4, 8, &BPFMapCreateOpts{MapIfIndex: 1 << 30}); !errors.Is(err, syscall.ENODEV) && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("a map offloaded to no interface: %v", err)
		}
	},

	"TcOpts.ProgFd":   func(t *testing.T) { wantTC(t) },
	"TcOpts.ProgId":   func(t *testing.T) { wantTC(t) },
	"TcOpts.Flags":    func(t *testing.T) { wantTC(t) },
	"TcOpts.Handle":   func(t *testing.T) { wantTC(t) },
	"TcOpts.Priority": func(t *testing.T) { wantTC(t) },

	"PerfReaderOptions.Pages": func(t *testing.T) {
		for _, pages := range []int{1, 4} {
			r := newPerf(t, loadEvents(t), PerfReaderOptions{Pages: pages})
			memory, err := r.Buffer(0)
			if want := (1 + pages) * os.Getpagesize(); err != nil || len(memory) != want {
				t.Errorf("%v, a CPU's buffer has %d bytes, want %d", err, len(memory), want)
			}
		}
	},
	"PerfReaderOptions.WakeupEvents": func(t *testing.T) {
		onOneCPU(t)
		for _, events := range []int{1, 3} {
			m := loadEvents(t)
			r := newPerf(t, m, PerfReaderOptions{WakeupEvents: events})
			attach(t, m, "perf_send_many")
			for n := 1; n <= events; n++ {
				trigger(1)
				fds := []unix.PollFd{{Fd: int32(r.EpollFD()), Events: unix.POLLIN}}
				if ready, err := unix.Poll(fds, 0); err != nil || (ready == 1) != (n == events) {
					t.Errorf("a wake-up by %d events: %d, %v after %d", events, ready, err, n)
				}
			}
		}
	},
	"PerfBufferRawOptions.Pages": func(t *testing.T) {
		for _, pages := range []int{1, 4} {
			r := newRawOf(t, PerfBufferRawOptions{Pages: pages, Attr: *bpfOutput(1)})
			memory, err := r.Buffer(0)
			if want := (1 + pages) * os.Getpagesize(); err != nil || len(memory) != want {
				t.Errorf("%v, a CPU's buffer has %d bytes, want %d", err, len(memory), want)
			}
		}
	},
	"PerfBufferRawOptions.Attr": func(t *testing.T) {
		_, err := NewPerfBufferRaw(getMap(t, loadEvents(t), "perf_events"), PerfBufferRawOptions{Pages: 1, Attr: unix.PerfEventAttr{Type: 1 << 31}},
			func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
		wantErr(t, err, syscall.ENOENT, "perf_events")
	},
	"PerfBufferRawOptions.CPUs": func(t *testing.T) {
		for _, cpus := range [][]int{{0}, {runtime.NumCPU() - 1}} {
			r := newRawOf(t, PerfBufferRawOptions{Pages: 1, Attr: *bpfOutput(1), CPUs: cpus, MapKeys: []int{0}})
			fd, err := r.BufferFD(0)
			if err != nil {
				t.Fatal(err)
			}
			if n := r.BufferCount(); n != 1 {
				t.Errorf("%d buffers", n)
			}
			other, err := unix.PerfEventOpen(bpfOutput(1), -1, cpus[0], -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			// Two events of one CPU may share memory.
			if err := unix.IoctlSetInt(other, unix.PERF_EVENT_IOC_SET_OUTPUT, fd); err != nil {
				t.Errorf("the buffer isn't of CPU %d: %v", cpus[0], err)
			}
			unix.Close(other)
		}
	},
	"PerfBufferRawOptions.MapKeys": func(t *testing.T) {
		m := loadEvents(t)
		array := getMap(t, m, "perf_events")
		other := runtime.NumCPU() - 1
		r, err := NewPerfBufferRaw(array, PerfBufferRawOptions{Pages: 1, Attr: *bpfOutput(1), CPUs: []int{0}, MapKeys: []int{other}},
			func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
		if err != nil {
			t.Fatal(err)
		}
		for key := range uint32(runtime.NumCPU()) {
			if err := array.DeleteKey(unsafe.Pointer(&key)); (err == nil) != (key == uint32(other)) {
				t.Errorf("element %d: %v", key, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	},

	"NewModuleArgs.KConfigFilePath": func(t *testing.T) {
		wantOpenErr(t, NewModuleArgs{BPFObjPath: mainObject, KConfigFilePath: "/nothing"}, "/nothing")
	},
	"NewModuleArgs.BTFObjPath": func(t *testing.T) {
		wantOpenErr(t, NewModuleArgs{BPFObjPath: mainObject, BTFObjPath: "/nothing"}, "/nothing")
	},
	"NewModuleArgs.BPFObjPath": func(t *testing.T) { wantOpenErr(t, NewModuleArgs{BPFObjPath: "/nothing"}, "/nothing") },
	"NewModuleArgs.BPFObjName": func(t *testing.T) {
		for _, name := range []string{"one", "other"} {
			m, err := NewModuleFromBufferArgs(NewModuleArgs{BPFObjBuff: readFile(t, mainObject), BPFObjName: name})
			if err != nil {
				t.Fatal(err)
			}
			if got := getMap(t, m, ".data").Name(); got != name+".data" && got != ".data" {
				t.Errorf("the map of %q is called %q", name, got)
			}
			if err := m.BPFLoadObject(); err != nil {
				t.Fatal(err)
			}
			info, err := GetMapInfoByFD(getMap(t, m, ".data").FileDescriptor())
			if err != nil || info.Name != name+".data" {
				t.Errorf("%v, the map of %q is called %q by the kernel", err, name, info.Name)
			}
			m.Close()
		}
	},
	"NewModuleArgs.BPFObjBuff": func(t *testing.T) {
		for path, program := range map[string]string{mainObject: "count", "testdata/attach.bpf.o": "on_xdp"} {
			m, err := NewModuleFromBufferArgs(NewModuleArgs{BPFObjBuff: readFile(t, path)})
			if err != nil {
				t.Fatal(err)
			}
			getProgram(t, m, program)
			m.Close()
		}
	},
	"NewModuleArgs.SkipMemlockBump": func(*testing.T) {}, // without effect, as its comment says
	"NewModuleArgs.KernelLogLevel":  TestKernelLogLevel,
	"NewModuleArgs.BPFTokenPath": func(t *testing.T) {
		m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: mainObject, BPFTokenPath: "/no/token"})
		if olderLibbpf(err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		wantErr(t, m.BPFLoadObject(), syscall.ENOENT, "/no/token")
	},

	"Callbacks.Log":        TestLoggerCallbacks,
	"Callbacks.LogFilters": TestLoggerCallbacks,
}

// loadOption loads a program that the kernel may be too old for, or the machine may refuse. Attaching it fails then, and
// so says the check that nothing can be seen.
func loadOption(t *testing.T, program string) *BPFProg {
	t.Helper()
	m, err := tryLoadAttach(t, program)
	if err != nil && !lacks(t, err, syscall.EINVAL, syscall.EPERM) {
		t.Fatal(err)
	}
	return getProgram(t, m, program)
}

// lacks reports whether an error is the refusal of a kernel, or of a libbpf, that lacks what is asked for, and logs it. Of
// other errors, the test fails.
func lacks(t *testing.T, err error, refusals ...error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	t.Logf("not here: %v", err)
	if !olderLibbpf(err) && !slices.ContainsFunc(refusals, func(refusal error) bool { return errors.Is(err, refusal) }) {
		t.Fatal(err)
	}
	return true
}

// refusals are how kernels refuse an attachment that they don't know or were built without.
var refusals = []error{syscall.EINVAL, syscall.ENOENT, syscall.EOPNOTSUPP, errors.ErrUnsupported}

// wantCookie checks that the program gets the cookie when it runs at getpgid.
func wantCookie(t *testing.T, prog *BPFProg, attach func(cookie uint64) (*BPFLink, error)) {
	t.Helper()
	wantCookieOf(t, prog, func() { trigger(0) }, attach)
}

func wantCookieOf(t *testing.T, prog *BPFProg, provoke func(), attach func(cookie uint64) (*BPFLink, error)) {
	t.Helper()
	for _, cookie := range []uint64{0, 1 << 40} {
		link, err := attach(cookie)
		if lacks(t, err, refusals...) {
			return
		}
		before := calls(t, prog.GetModule(), callsCookie)
		provoke()
		if err := link.Destroy(); err != nil {
			t.Error(err)
		}
		sum := calls(t, prog.GetModule(), callsCookie) - before
		if (sum == 0) != (cookie == 0) || cookie > 0 && sum%cookie != 0 {
			t.Errorf("cookie %#x: the program has added up %#x", cookie, sum)
		}
	}
}

// wantReturn checks that the program is hit elsewhere at a function's return than at its entry.
func wantReturn(t *testing.T, prog *BPFProg, provoke func(), attach func(isReturn bool) (*BPFLink, error)) {
	t.Helper()
	var hits [2]uint64
	for i, isReturn := range []bool{false, true} {
		link, err := attach(isReturn)
		if lacks(t, err, refusals...) {
			if kind := []string{"kprobe", "kretprobe"}[i]; strings.Contains(err.Error(), "perf event") && !strings.Contains(err.Error(), "failed to create "+kind+" ") {
				t.Errorf("libbpf was not asked for a %s: %v", kind, err)
			}
			continue
		}
		provoke()
		hits[i] = calls(t, prog.GetModule(), addressHit)
		if err := link.Destroy(); err != nil {
			t.Error(err)
		}
	}
	if hits[0] == hits[1] && hits[0] != 0 {
		t.Errorf("entry and return are both at %#x", hits[0])
	}
}

// wantHit checks that a kprobe.multi program runs at getpgid.
func wantHit(t *testing.T, prog *BPFProg, opts KprobeMultiOpts) {
	t.Helper()
	link, err := prog.AttachKprobeMultiOpts("", opts)
	if errors.Is(err, syscall.EINVAL) && prog.FileDescriptor() >= 0 {
		t.Fatal(err) // libbpf's error for options that aren't whole
	}
	if lacks(t, err, refusals...) {
		return
	}
	wantCalls(t, prog.GetModule(), callsKprobe, link, err, func() { trigger(0) })
}

// wantNoLink checks that a probe is made without a link of the kernel's.
func wantNoLink(t *testing.T, link *BPFLink) {
	t.Helper()
	if err := linkInfo(link.FileDescriptor(), new([128]byte)); err == nil {
		t.Error("it is a link of the kernel's")
	}
	if err := link.Destroy(); err != nil {
		t.Error(err)
	}
}

// wantUprobes checks that a program that is attached to epoll_create1 runs, and returns the sum of its cookies.
func wantUprobes(t *testing.T, path string, opts UprobeMultiOpts) uint64 {
	t.Helper()
	prog := loadOption(t, "on_uprobe_multi")
	link, err := prog.AttachUprobeMultiOpts(0, path, "", opts)
	if lacks(t, err, syscall.EINVAL) {
		return 0
	}
	makeEpoll(prog.GetModule())
	address := calls(t, prog.GetModule(), addressHit)
	if err := link.Destroy(); err != nil {
		t.Error(err)
	}
	if address == 0 {
		t.Error("the program didn't run")
	}
	return calls(t, prog.GetModule(), callsUprobeMulti)
}

// semaphore is in the file that this process runs, as a static tracepoint's is.
var semaphore = uint16(1)

// wantSemaphore checks that a semaphore is raised while the program is attached.
func wantSemaphore(t *testing.T, attach func(path string, function, semaphore uint64) (*BPFLink, error)) {
	t.Helper()
	path, at := fileOffset(t, uintptr(unsafe.Pointer(&semaphore)))
	_, function := fileOffset(t, reflect.ValueOf(openClock).Pointer())
	link, err := attach(path, function, at)
	if lacks(t, err, syscall.EINVAL) {
		return
	}
	raised := semaphore
	if err := link.Destroy(); err != nil {
		t.Error(err)
	}
	if raised != 2 || semaphore != 1 {
		t.Errorf("the semaphore is %d, then %d; want 2 and 1", raised, semaphore)
	}
}

// fileOffset returns the file that stands at an address of this process, and where in it.
func fileOffset(t *testing.T, address uintptr) (path string, offset uint64) {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, "/proc/self/maps"))) {
		var start, end uintptr
		var at uint64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x", &start, &end, &rights, &at); n == 4 && start <= address && address < end {
			fields := strings.Fields(line)
			return fields[len(fields)-1], at + uint64(address-start)
		}
	}
	t.Fatalf("nothing is at %#x", address)
	return "", 0
}

// ownFunction returns the file with a function of the C library that this process runs, and its offset.
func ownFunction(t *testing.T, name string) (path string, offset uint64) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readFile(t, "/proc/self/maps"))) {
		if fields := strings.Fields(line); strings.Contains(line, "/libc.so") {
			path = fields[len(fields)-1]
		}
	}
	if _, offset, err = findFunction(path, name); err != nil {
		t.Fatal(err)
	}
	return path, offset
}

// systemCall returns the kernel's function for getpgid.
func systemCall() string {
	return map[string]string{"amd64": "__x64_sys_getpgid", "arm64": "__arm64_sys_getpgid"}[runtime.GOARCH]
}

// openClock returns an event of the thread that comes every 0.1 ms of its time.
func openClock(t *testing.T) int {
	t.Helper()
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: 100_000,
	}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// bpfCall makes a system call that neither libbpf nor the package makes for its users.
func bpfCall(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// linkInfo reads a link's struct bpf_link_info.
func linkInfo(fd int, info *[128]byte) error {
	attr := struct {
		fd, size uint32
		info     *[128]byte
	}{uint32(fd), uint32(len(info)), info}
	_, err := bpfCall(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// wantLinkInfo checks a number in a link's info, and destroys the link.
func wantLinkInfo(t *testing.T, link *BPFLink, offset int, want uint64, size int) {
	t.Helper()
	var info [128]byte
	if err := errors.Join(linkInfo(link.FileDescriptor(), &info), link.Destroy()); err != nil {
		t.Fatal(err)
	}
	got := binary.NativeEndian.Uint64(info[offset:])
	if size == 4 {
		got = uint64(binary.NativeEndian.Uint32(info[offset:]))
	}
	if got != want {
		t.Errorf("the kernel has %#x, want %#x", got, want)
	}
}

func wantNetfilter(t *testing.T, offset int, opts NetfilterOpts, want uint64) {
	t.Helper()
	prog := loadOption(t, "on_netfilter")
	inOwnNetwork(t, func() {
		link, err := prog.AttachNetfilter(opts)
		if lacks(t, err, syscall.EINVAL) {
			return
		}
		wantLinkInfo(t, link, offset, want, 4)
	})
}

func wantIter(t *testing.T, prog *BPFProg, opts IterOpts, offset int, want uint64, size int) {
	t.Helper()
	link, err := prog.AttachIter(opts)
	if prog.FileDescriptor() >= 0 && err != nil {
		t.Fatal(err)
	}
	if lacks(t, err, syscall.EINVAL) {
		return
	}
	wantLinkInfo(t, link, offset, want, size)
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Ino
}

func packetOf(first byte) []byte {
	packet := make([]byte, 64)
	packet[0] = first
	return packet
}

// xdpContext returns a struct xdp_md of a packet of that size.
func xdpContext(size uint32) []byte {
	context := make([]byte, 24)
	binary.NativeEndian.PutUint32(context[4:], size) // data_end
	return context
}

func runXDP(t *testing.T, opts RunOpts) RunOpts {
	t.Helper()
	if err := getProgram(t, loadAttach(t, "on_xdp"), "on_xdp").Run(&opts); err != nil {
		t.Fatal(err)
	}
	return opts
}

func runRaw(t *testing.T, opts *RunOpts) {
	t.Helper()
	if err := getProgram(t, loadAttach(t, "on_run"), "on_run").Run(opts); err != nil {
		t.Fatal(err)
	}
}

// createMap creates a map of one element, to be closed by the test's end.
func createMap(t *testing.T, mapType MapType, keySize, valueSize int, opts *BPFMapCreateOpts) (*BPFMapLow, error) {
	t.Helper()
	m, err := CreateMap(mapType, "option", keySize, valueSize, 1, opts)
	if err == nil {
		t.Cleanup(func() { _ = m.Close() })
	}
	return m, err
}

// wantMapInfo compares the kernel's information on a map that is created with the options to that on one without.
func wantMapInfo(t *testing.T, mapType MapType, keySize int, opts *BPFMapCreateOpts, field string, want uint64) {
	t.Helper()
	for _, test := range []struct {
		opts *BPFMapCreateOpts
		want uint64
	}{{nil, 0}, {opts, want}} {
		m, err := createMap(t, mapType, keySize, 8, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		info, err := GetMapInfoByFD(m.FileDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		if got := reflect.ValueOf(*info).FieldByName(field).Convert(reflect.TypeFor[uint64]()).Uint(); got != test.want {
			t.Errorf("%s is %d with %+v, want %d", field, got, test.opts, test.want)
		}
	}
}

// wantMapTypes checks that a map has the types of another one of an object.
func wantMapTypes(t *testing.T) {
	t.Helper()
	numbers := getMap(t, loadMain(t), "numbers")
	like, err := GetMapInfoByFD(numbers.FileDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	const getFDByID = 19 // BPF_BTF_GET_FD_BY_ID
	attr := struct{ id, next, flags uint32 }{id: like.BTFID}
	fd, err := bpfCall(getFDByID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m, err := createMap(t, MapTypeHash, 4, 8, &BPFMapCreateOpts{BTFFD: uint32(fd), BTFKeyTypeID: like.BTFKeyTypeID, BTFValueTypeID: like.BTFValueTypeID})
	if err != nil {
		t.Fatal(err)
	}
	info, err := GetMapInfoByFD(m.FileDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	if info.BTFID != like.BTFID || info.BTFKeyTypeID != like.BTFKeyTypeID || info.BTFValueTypeID != like.BTFValueTypeID || like.BTFKeyTypeID == like.BTFValueTypeID {
		t.Errorf("the types are %+v, want those of %+v", info, like)
	}
}

// wantOrders checks in which order programs run at a network interface, as OrderOpts says.
func wantOrders(t *testing.T, field string) {
	t.Helper()
	first := loadOption(t, "on_tcx")
	if first.FileDescriptor() < 0 {
		return
	}
	progs := []*BPFProg{first, loadOption(t, "on_tcx"), loadOption(t, "on_tcx")}
	var ids []uint32
	for _, prog := range progs {
		ids = append(ids, programID(t, prog))
	}
	inOwnNetwork(t, func() {
		for _, prog := range progs[:2] {
			_, err := prog.AttachTCX("lo", OrderOpts{})
			if lacks(t, err, syscall.EINVAL) {
				return
			}
		}
		want := func(opts OrderOpts, want ...uint32) {
			t.Helper()
			link, err := progs[2].AttachTCX("lo", opts)
			if err != nil {
				t.Errorf("%+v: %v", opts, err)
				return
			}
			if got := queryTCX(t); !slices.Equal(got, want) {
				t.Errorf("%+v: programs %v, want %v", opts, got, want)
			}
			if err := link.Destroy(); err != nil {
				t.Error(err)
			}
		}
		want(OrderOpts{}, ids[0], ids[1], ids[2])
		switch field {
		case "Flags":
			want(OrderOpts{Flags: BPFFBefore}, ids[2], ids[0], ids[1])
		case "RelativeFD":
			want(OrderOpts{Flags: BPFFAfter, RelativeFD: progs[0].FileDescriptor()}, ids[0], ids[2], ids[1])
			want(OrderOpts{Flags: BPFFBefore, RelativeFD: progs[1].FileDescriptor()}, ids[0], ids[2], ids[1])
			want(OrderOpts{Flags: BPFFBefore, RelativeFD: progs[0].FileDescriptor()}, ids[2], ids[0], ids[1])
		case "RelativeID":
			want(OrderOpts{Flags: BPFFAfter | BPFFID, RelativeID: ids[0]}, ids[0], ids[2], ids[1])
			want(OrderOpts{Flags: BPFFAfter | BPFFID, RelativeID: ids[1]}, ids[0], ids[1], ids[2])
		case "ExpectedRevision":
			_, err := progs[2].AttachTCX("lo", OrderOpts{ExpectedRevision: 1 << 40})
			wantErr(t, err, syscall.ESTALE, "on_tcx")
		}
	})
}

// programID returns the kernel's id of a program.
func programID(t *testing.T, prog *BPFProg) uint32 {
	t.Helper()
	var info [128]byte
	if err := linkInfo(prog.FileDescriptor(), &info); err != nil { // which does the same for programs
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint32(info[4:])
}

// queryTCX returns the ids of the programs at the loopback interface's egress, in their order.
func queryTCX(t *testing.T) []uint32 {
	t.Helper()
	var ids [8]uint32
	attr := struct {
		target, attachType, queryFlags, attachFlags uint32
		ids                                         *[8]uint32
		count, _                                    uint32
		_                                           [4]uint64
	}{target: 1, attachType: uint32(BPFAttachTypeTCXEgress), ids: &ids, count: uint32(len(ids))}
	if _, err := bpfCall(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		t.Fatal(err)
	}
	return ids[:attr.count]
}

// wantTC checks by Query which fields of TcOpts Attach uses and which it sets.
func wantTC(t *testing.T) {
	t.Helper()
	progs := []*BPFProg{getProgram(t, loadAttach(t, "on_packet"), "on_packet"), getProgram(t, loadAttach(t, "on_packet"), "on_packet")}
	inOwnNetwork(t, func() {
		hook := new(TcHook)
		hook.SetInterfaceByIndex(1)
		hook.SetAttachPoint(BPFTcIngressEgress)
		if err := hook.Create(); lacks(t, err, syscall.ENOENT) {
			return
		}
		hook.SetAttachPoint(BPFTcEgress)
		for i, opts := range []TcOpts{
			{Handle: 1, Priority: 1}, {Handle: 2, Priority: 1}, {Handle: 1, Priority: 2}, {Handle: 1, Priority: 1, Flags: BpfTcFReplace},
		} {
			prog := progs[i%2]
			asked := opts
			opts.ProgFd = prog.FileDescriptor()
			if err := hook.Attach(&opts); err != nil {
				t.Fatalf("%+v: %v", opts, err)
			}
			query := TcOpts{Handle: asked.Handle, Priority: asked.Priority}
			if err := hook.Query(&query); err != nil || query.ProgId != uint(programID(t, prog)) || query != (TcOpts{Handle: asked.Handle, Priority: asked.Priority, ProgId: query.ProgId}) || opts.ProgId != query.ProgId {
				t.Errorf("%v, %+v was attached, and there is %+v", err, opts, query)
			}
		}
		wantErr(t, hook.Attach(&TcOpts{ProgFd: progs[0].FileDescriptor(), Handle: 2, Priority: 1}), syscall.EEXIST)
	})
}

func newRawOf(t *testing.T, opts PerfBufferRawOptions) *PerfBufferRaw {
	t.Helper()
	r, err := NewPerfBufferRaw(getMap(t, loadEvents(t), "perf_events"), opts, func(int, RawPerfEvent) PerfEventRet { return PerfEventCont })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func wantOpenErr(t *testing.T, args NewModuleArgs, mentions string) {
	t.Helper()
	m, err := NewModuleFromFileArgs(args)
	if err == nil {
		m.Close()
	}
	wantErr(t, err, syscall.ENOENT, mentions)
}

// burn spends 20 ms of the thread's time.
func burn() {
	var begin, now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &begin)
	for now = begin; now.Nano()-begin.Nano() < 20_000_000; {
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now)
	}
}
