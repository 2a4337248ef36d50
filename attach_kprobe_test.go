package libbpfgo

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
)

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
		wantErr(t, attachErr, syscall.ENOENT, "on_kprobe", "__x64_sys_getpgid")
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
