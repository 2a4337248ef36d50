package libbpfgo

import (
	"bufio"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
			_, err = form.attach(prog, os.Getpid(), dir)
			if err == nil || !strings.Contains(err.Error(), "not a regular file") && !errors.Is(err, syscall.EISDIR) {
				t.Errorf("attached to a folder: %v", err)
			}

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

// A program that is attached in one process doesn't run in others.
func TestAttachUprobeToOtherProcess(t *testing.T) {
	forms := uprobeForms(t)
	m, keys := loadUprobes(t)
	libc, _ := libcFunction(t, "epoll_create1")
	const init = 1
	for _, form := range forms {
		link, err := form.attach(getProgram(t, m, form.program), init, libc)
		if err != nil {
			t.Errorf("%s: %v", form.name, err)
			continue
		}
		before := calls(t, m, keys[form.program])
		makeEpoll(m)
		if n := calls(t, m, keys[form.program]) - before; n != 0 {
			t.Errorf("%s: the program ran %d times in this process, which it isn't attached in", form.name, n)
		}
		if err := link.Destroy(); err != nil {
			t.Error(err)
		}
	}
}

// The offset of a probe counts from the start of the function that is named with it.
func TestAttachUprobeFunctionAndOffset(t *testing.T) {
	m := loadAttach(t, "on_uprobe")
	libc, called := libcFunction(t, "epoll_create1")
	_, other := libcFunction(t, "qsort")
	link, err := getProgram(t, m, "on_uprobe").AttachUprobeOpts(os.Getpid(), libc, called-other, UprobeOpts{FuncName: "qsort"})
	wantCalls(t, m, callsUprobe, link, err, func() { makeEpoll(m) })
}

// A static tracepoint is looked for in the process that is named.
func TestAttachUSDTToNoProcess(t *testing.T) {
	m, _ := loadTargets(t)
	t.Chdir(t.TempDir())
	writeTarget(t, buildTarget(targetSpec{}))
	const nobody = 1 << 30 // more than the kernel's largest pid
	_, err := getTargetProgram(t, m, "on_tracepoint").AttachUSDT(nobody, "./target", "test", "probe")
	wantErr(t, err, syscall.ESRCH, "./target")
}
