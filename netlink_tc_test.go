package libbpfgo

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"testing"
)

func TestTcHook(t *testing.T) {
	m := loadAttach(t, "on_packet")
	prog := getProgram(t, m, "on_packet")
	inOwnNetwork(t, func() {
		hook := m.TcHookInit()
		for _, name := range []string{"nothing", "", "lo\x00", "a-name-that-is-too-long"} {
			wantErr(t, hook.SetInterfaceByName(name), syscall.ENODEV, strconv.Quote(name))
		}
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
