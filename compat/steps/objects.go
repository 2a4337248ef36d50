package main

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"
)

// The paths of the objects, relative to the root folder of the repository.
const (
	mainObject   = "testdata/main.bpf.o"
	attachObject = "testdata/attach.bpf.o"
	eventsObject = "testdata/events.bpf.o"
	iterObject   = "testdata/iter.bpf.o"
	mapsObject   = "compat/steps/maps.bpf.o"
)

func open(path string) *bpf.Module {
	return must(bpf.NewModuleFromFile(path))
}

func load(m *bpf.Module) *bpf.Module {
	check(m.BPFLoadObject())
	return m
}

// loadFor loads an object and makes its programs ignore other processes.
func loadFor(path string) *bpf.Module {
	m := open(path)
	check(m.InitGlobalVariable("target_pid", uint32(os.Getpid())))
	return load(m)
}

// loadOnly loads an object with only the named programs.
func loadOnly(path string, programs ...string) *bpf.Module {
	return load(openOnly(path, programs...))
}

func openOnly(path string, programs ...string) *bpf.Module {
	m := open(path)
	it := m.Iterator()
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		wanted := false
		for _, name := range programs {
			wanted = wanted || name == prog.Name()
		}
		check(prog.SetAutoload(wanted))
	}
	return m
}

// loadElementIterator loads an iterator over a map's elements. It skips the case if the kernel refuses the program with
// EPERM but loads another tracing program.
func loadElementIterator() *bpf.Module {
	m := openOnly(attachObject, "on_element")
	err := m.BPFLoadObject()
	if errors.Is(err, syscall.EPERM) {
		loadOnly(attachObject, "on_trace")
		skip("this kernel loads no iterators over a map's elements: %v", err)
	}
	check(err)
	return m
}

// openMaps opens the object with a map of each type, except one map that can't be created without more settings.
func openMaps() *bpf.Module {
	m := open(mapsObject)
	check(getMap(m, "outer_of_any").SetAutocreate(false))
	return m
}

func loadMaps() *bpf.Module { return load(openMaps()) }

func getMap(m *bpf.Module, name string) *bpf.BPFMap { return must(m.GetMap(name)) }

func getProgram(m *bpf.Module, name string) *bpf.BPFProg { return must(m.GetProgram(name)) }

// trigger makes the system call that runs the attached programs of the objects, with the argument n.
func trigger(n int) { _, _, _ = syscall.RawSyscall(unix.SYS_GETPGID, uintptr(n), 0, 0) }

// onOneCPU locks the goroutine to its thread and the thread to one CPU, so that all events come from this CPU.
func onOneCPU() {
	runtime.LockOSThread()
	var allowed, one unix.CPUSet
	check(unix.SchedGetaffinity(0, &allowed))
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	one.Set(cpu)
	check(unix.SchedSetaffinity(0, &one))
}

func ptr[T any](value T) unsafe.Pointer { return unsafe.Pointer(&value) }

// counter returns the number at a key of an array or a hash map, and 0 if it can't be read.
func counter(m *bpf.Module, name string, key uint32) uint64 {
	value, err := getMap(m, name).GetValue(ptr(key))
	if err != nil {
		return 0
	}
	return binary.NativeEndian.Uint64(value)
}

// effect reports whether provoke makes a program run that counts its runs at the key.
func effect(m *bpf.Module, name string, key uint32, provoke func()) bool {
	before := counter(m, name, key)
	provoke()
	return counter(m, name, key) > before
}

// cgroup2 returns the mount point of a cgroup file system of version 2.
func cgroup2() string {
	for _, line := range strings.Split(string(must(os.ReadFile("/proc/mounts"))), "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	skip("no cgroup file system of version 2 is mounted")
	return ""
}

// descriptors returns the number of open descriptors of the process.
func descriptors() int { return len(must(os.ReadDir("/proc/self/fd"))) }

// pinPath returns a path in the BPF file system that no other process uses.
func pinPath(name string) string {
	const root = "/sys/fs/bpf"
	var fs unix.Statfs_t
	check(unix.Statfs(root, &fs))
	if fs.Type != unix.BPF_FS_MAGIC {
		skip("no BPF file system is mounted at %s", root)
	}
	// The parent process removes the file, however the case ends.
	return root + "/" + os.Getenv("COMPAT_PIN_PREFIX") + name
}

// functionOffset returns the offset of a function in a file.
func functionOffset(path, name string) uint64 {
	file := must(elf.Open(path))
	defer file.Close()
	for _, s := range must(file.DynamicSymbols()) {
		if s.Name != name {
			continue
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				return s.Value - p.Vaddr + p.Off
			}
		}
	}
	skip("%s has no function %s", path, name)
	return 0
}
