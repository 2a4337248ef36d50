package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Module is a BPF object: the maps and programs of one ELF file. [NewModuleFromFile] and [NewModuleFromBuffer] open
// it, [Module.BPFLoadObject] loads it into the kernel, and [Module.Close] frees it.
//
// The module owns its maps, its programs, the links made from its programs and the buffers made from its maps: Close
// closes those that are still open. A module that is dropped without Close is closed by the garbage collector, but not
// before its last link is destroyed and its last buffer is stopped, because links and buffers work on even if the
// program has dropped the module.
//
// All methods may be called from several goroutines. Those that change the object (load, attach, the Set methods,
// Close) exclude all other calls; operations on the maps' elements run at the same time as others.
type Module struct {
	object  *object
	cleanup runtime.Cleanup

	// The handles that were handed out so far, protected by object's lock.
	maps  map[*C.struct_bpf_map]*BPFMap
	progs map[*C.struct_bpf_program]*BPFProg
}

// NewModuleArgs are the options of [NewModuleFromFileArgs] and [NewModuleFromBufferArgs].
type NewModuleArgs struct {
	// KConfigFilePath is a kernel configuration file, plain or gzipped, for the object's __kconfig variables. Its
	// values override the running kernel's. Its limit is 16 MiB, unpacked.
	KConfigFilePath string
	// BTFObjPath is a file with the kernel's BTF, for kernels without /sys/kernel/btf/vmlinux. The file stays open
	// until the load, which reads it by its descriptor or, if /proc isn't mounted, by its path. Its limit is 256 MiB
	// of BTF. If the object has CO-RE relocations, the load checks this BTF like the object's own.
	BTFObjPath string
	// BPFObjName is the object's name, with which the names of its .data, .rodata and .bss maps begin. An object from
	// a file is named after the file.
	BPFObjName string
	// BPFObjPath is the file to open. Its limit is 256 MiB.
	BPFObjPath string
	// BPFObjBuff is the object to open, the content of an ELF file. It is copied.
	BPFObjBuff []byte
	// SkipMemlockBump has no effect. If the kernel charges maps and programs to the limit of locked memory (before
	// 5.11), libbpf raises the limit at the load. On other kernels, the limit isn't changed.
	SkipMemlockBump bool
	// KernelLogLevel is the verbosity of the verifier's log for programs that load: 1 or 2, plus 4 for statistics. The
	// log is printed at the debug level of libbpf's messages.
	KernelLogLevel uint32
	// BPFTokenPath is a BPF file system from which a process in a user namespace gets the rights to load (a BPF
	// token). It needs libbpf 1.4 and Linux 6.9. If it is empty, libbpf tries the path in the environment variable
	// LIBBPF_BPF_TOKEN_PATH and /sys/fs/bpf, and continues without a token if neither delegates rights.
	BPFTokenPath string
}

// NewModuleFromFile opens the BPF object in the file at bpfObjPath. It doesn't load it.
//
// Implements: bpf_object__open, bpf_object__open_file
func NewModuleFromFile(bpfObjPath string) (*Module, error) {
	return NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: bpfObjPath})
}

// NewModuleFromFileArgs opens the BPF object in the file at args.BPFObjPath.
//
// Implements: bpf_object__open_file
func NewModuleFromFileArgs(args NewModuleArgs) (*Module, error) {
	what := fmt.Sprintf("open object %q", args.BPFObjPath)
	image, err := readObject(args.BPFObjPath)
	if err != nil {
		return nil, failed(err, what)
	}
	// libbpf names an object from a file in this way.
	file := filepath.Base(args.BPFObjPath)
	args.BPFObjName, _, _ = strings.Cut(file, ".")
	return newModule(what, args, image, file)
}

// NewModuleFromBuffer opens the BPF object in bpfObjBuff, the content of an ELF file, and names it bpfObjName. The
// buffer is copied and may be changed afterwards.
//
// Everything that libbpf trusts in an object is checked before libbpf gets it, with every version of libbpf: the
// file's sections and symbols, its types (BTF), the accesses that are relocated by them (CO-RE), and the variables
// from which maps are made. If an object would make libbpf read or write beyond its memory, or loop forever, the error
// is [LibbpfErrnoFormat] (errors.Is). The BPF programs in the object are checked by the kernel's verifier, not here.
//
// Implements: bpf_object__open_mem
func NewModuleFromBuffer(bpfObjBuff []byte, bpfObjName string) (*Module, error) {
	return NewModuleFromBufferArgs(NewModuleArgs{BPFObjBuff: bpfObjBuff, BPFObjName: bpfObjName})
}

// NewModuleFromBufferArgs opens the BPF object in args.BPFObjBuff.
//
// Implements: bpf_object__open_mem
func NewModuleFromBufferArgs(args NewModuleArgs) (*Module, error) {
	what := fmt.Sprintf("open object %q", args.BPFObjName)
	return newModule(what, args, bytes.Clone(args.BPFObjBuff), args.BPFObjName)
}

// newModule opens the object in image, the content of an ELF file. name is the object's name in errors.
func newModule(what string, args NewModuleArgs, image []byte, name string) (*Module, error) {
	file, err := checkObject(image)
	if err != nil {
		return nil, failed(err, what)
	}
	if strings.IndexByte(args.BPFObjName+args.BTFObjPath+args.BPFTokenPath, 0) >= 0 {
		return nil, failed(errZeroByte, what)
	}
	if args.BPFTokenPath != "" {
		if err := needLibbpf(1, 4, "bpf_object_open_opts.bpf_token_path"); err != nil {
			return nil, failed(err, what)
		}
	}

	var btfPath, kconfig, tokenPath *C.char
	objectName, buf := C.CString(args.BPFObjName), C.CBytes(image)
	defer func() {
		C.free(buf)
		freeStrings([]*C.char{objectName, btfPath, kconfig, tokenPath})
	}()
	var btf *os.File
	kept := false
	if args.BTFObjPath != "" {
		var err error
		if btf, err = openBTF(args.BTFObjPath); err != nil {
			return nil, failedf(err, "%s: open BTF %q", what, args.BTFObjPath)
		}
		defer func() {
			if !kept {
				_ = btf.Close()
			}
		}()
		btfPath = C.CString(descriptorPath(btf, args.BTFObjPath))
	}
	if args.BPFTokenPath != "" {
		tokenPath = C.CString(args.BPFTokenPath)
	}
	if args.KConfigFilePath != "" {
		text, err := readKConfig(args.KConfigFilePath)
		if err != nil {
			return nil, failedf(err, "%s: read kernel configuration %q", what, args.KConfigFilePath)
		}
		kconfig = C.CString(text)
	}

	var c *C.struct_bpf_object
	err = watched(what, func() error {
		var errno error
		c, errno = C.golibbpf_object_open(buf, C.size_t(len(image)), objectName, btfPath, kconfig, tokenPath,
			C.uint(args.KernelLogLevel))
		if c == nil {
			return pointerError(errno)
		}
		return nil
	})
	if err != nil {
		C.bpf_object__close(c)
		return nil, err
	}

	kept = true
	m := &Module{
		object: &object{
			name: name, btfPath: args.BTFObjPath, btf: btf, c: c, image: image,
			references: file.references, relocatesTypes: file.relocatesTypes,
		},
		maps:  make(map[*C.struct_bpf_map]*BPFMap),
		progs: make(map[*C.struct_bpf_program]*BPFProg),
	}
	m.cleanup = runtime.AddCleanup(m, (*object).dropped, m.object)
	return m, nil
}

// BPFLoadObject creates the object's maps and loads its programs into the kernel. It can be done once. If the kernel
// rejects a program, the error is a [VerifierError] (errors.As).
//
// It needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN depending on the programs; before Linux 5.8, it needs
// CAP_SYS_ADMIN. If the thread lacks these (EPERM), or if the process has fewer free descriptors than programs plus 6
// (EMFILE), the load returns the error without calling libbpf, and can be tried again.
//
// The reason for this check: libbpf probes the kernel's features by trying them, and caches the result for the rest of
// the process. If a probe fails for another reason, libbpf takes the feature for missing. The check doesn't cover a
// few cases: other goroutines that use up the descriptors or the memory during a load; a load by a thread without
// CAP_BPF where kernel.unprivileged_bpf_disabled is 0, which can't load BTF; a load of cgroup_skb programs without
// CAP_NET_ADMIN; and a load without CAP_PERFMON, after which libbpf replaces __arg_ctx and bpf_probe_read_kernel() by
// their equivalents on older kernels. A process that loads with different rights at different times should do its
// first load with all of them.
//
// Implements: bpf_object__load
func (m *Module) BPFLoadObject() error {
	return m.load("load", func(c *C.struct_bpf_object) C.int { return C.bpf_object__load(c) }, true)
}

// Prepare does the first half of [Module.BPFLoadObject]: it creates the maps, which can then be filled, and relocates
// the programs, but doesn't load them. BPFLoadObject does the rest.
//
// It needs libbpf 1.6.
//
// Implements: bpf_object__prepare
func (m *Module) Prepare() error {
	if err := needLibbpf(1, 6, "bpf_object__prepare"); err != nil {
		return failedf(err, "prepare object %q", m.in().name)
	}
	return m.load("prepare", func(c *C.struct_bpf_object) C.int { return C.bpf_object__prepare(c) }, false)
}

func (m *Module) load(verb string, do func(*C.struct_bpf_object) C.int, whole bool) error {
	o := m.in()
	what := fmt.Sprintf("%s object %q", verb, o.name)
	if o.btfPath != "" {
		what += fmt.Sprintf(" with the kernel's BTF from %q", o.btfPath)
	}
	if err := o.lock(); err != nil {
		return failed(err, what)
	}
	defer o.unlock()
	if o.btfPath != "" && o.relocatesTypes && o.stage == opened {
		if err := checkBTFFile(o.btfPath, o.btf); err != nil {
			return failed(err, what)
		}
	}
	arenas, err := o.reserveArenas()
	defer freeArenas(arenas)
	if err != nil {
		return failed(err, what)
	}
	first, tried := o.stage == opened || o.stage == prepared && whole, false
	err = watched(what, func() error {
		if err := o.checkLoad(); err != nil {
			return err
		}
		tried = true
		if err := codeOf(do(o.c)); err != nil {
			if !first {
				return o.stage.beforeLoad(err)
			}
			return err
		}
		if whole {
			o.probePerfLink()
		}
		return nil
	})
	if tried {
		o.closeBTF()
	}
	// If the load fails, libbpf closes the maps.
	for _, bpfMap := range m.maps {
		bpfMap.refresh()
	}
	switch {
	case err == nil && whole:
		o.stage = loaded
		o.image = nil
	case err == nil:
		o.stage = prepared
	case tried && first:
		o.stage = loadFailed
		o.explainRefusal(err)
	}
	return err
}

// A reservedArena is memory that is reserved at the address in an arena's definition.
type reservedArena struct {
	c             *C.struct_bpf_map
	address, size uintptr
}

// reserveArenas reserves the memory of arenas that are defined with an address. Without that, bpf_object__create_maps
// of libbpf 1.7 would map an arena over whatever the process has at the address, such as Go's heap.
func (o *object) reserveArenas() ([]reservedArena, error) {
	var arenas []reservedArena
	if o.stage != opened {
		return nil, nil
	}
	for c := C.bpf_object__next_map(o.c, nil); c != nil; c = C.bpf_object__next_map(o.c, c) {
		a := reservedArena{c, uintptr(C.bpf_map__map_extra(c)), uintptr(C.bpf_map__max_entries(c)) * uintptr(os.Getpagesize())}
		if MapType(C.bpf_map__type(c)) != MapTypeArena || !bool(C.bpf_map__autocreate(c)) || a.address == 0 || a.size == 0 {
			continue
		}
		const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE | unix.MAP_FIXED_NOREPLACE
		_, _, errno := unix.Syscall6(unix.SYS_MMAP, a.address, a.size, unix.PROT_NONE, flags, ^uintptr(0), 0)
		if errno != 0 {
			return arenas, fmt.Errorf("reserve %d bytes at %#x for arena %q: %w", a.size, a.address, C.GoString(C.bpf_map__name(c)), errno)
		}
		arenas = append(arenas, a)
	}
	return arenas, nil
}

// freeArenas unmaps the reserved memory, unless the arena is mapped there now.
func freeArenas(arenas []reservedArena) {
	for _, a := range arenas {
		var size C.size_t
		if uintptr(C.bpf_map__initial_value(a.c, &size)) != a.address {
			_, _, _ = unix.Syscall(unix.SYS_MUNMAP, a.address, a.size, 0)
		}
	}
}

// Close destroys the links, stops and frees the buffers, and frees the object. The kernel frees the maps and programs
// unless they are pinned or used elsewhere. Close waits for calls that are under way. Closing again does nothing, nor
// does closing a nil module.
//
// Implements: bpf_object__close
func (m *Module) Close() {
	if m == nil || m.object == nil {
		return
	}
	m.cleanup.Stop()
	m.object.close()
	linkedModules.remove(m)
}

// GetMap returns the object's map of that name. If there is none, the error is syscall.ENOENT (errors.Is). The maps
// behind global variables are named ".data", ".rodata", ".bss" and so on.
//
// Implements: bpf_object__find_map_by_name
func (m *Module) GetMap(mapName string) (*BPFMap, error) {
	if err := m.in().lock(); err != nil {
		return nil, failedf(err, "find map %q", mapName)
	}
	defer m.in().unlock()
	return m.mapByName(mapName)
}

// mapByName is GetMap for a caller that holds the object's lock.
func (m *Module) mapByName(name string) (*BPFMap, error) {
	nameC, err := cString(name)
	if err != nil {
		return nil, failedf(err, "find map %q", name)
	}
	defer C.free(unsafe.Pointer(nameC))
	c, errno := C.bpf_object__find_map_by_name(m.in().c, nameC)
	if c == nil {
		return nil, failedf(pointerError(errno), "find map %q in object %q", name, m.in().name)
	}
	return m.mapHandle(c), nil
}

// mapHandle returns the handle of a map, always the same. The caller holds the object's lock.
func (m *Module) mapHandle(c *C.struct_bpf_map) *BPFMap {
	bpfMap := m.maps[c]
	if bpfMap == nil {
		bpfMap = newBPFMap(m, c)
		m.maps[c] = bpfMap
	}
	return bpfMap
}

// progHandle returns the handle of a program, always the same. The caller holds the object's lock.
func (m *Module) progHandle(c *C.struct_bpf_program) *BPFProg {
	prog := m.progs[c]
	if prog == nil {
		prog = newBPFProg(m, c)
		m.progs[c] = prog
	}
	return prog
}

// GetProgram returns the object's program of that name, which is the name of its function in C. If there is none, the
// error is syscall.ENOENT (errors.Is).
//
// Implements: bpf_object__find_program_by_name
func (m *Module) GetProgram(progName string) (*BPFProg, error) {
	if err := m.in().lock(); err != nil {
		return nil, failedf(err, "find program %q", progName)
	}
	defer m.in().unlock()
	name, err := cString(progName)
	if err != nil {
		return nil, failedf(err, "find program %q", progName)
	}
	defer C.free(unsafe.Pointer(name))
	c, errno := C.bpf_object__find_program_by_name(m.in().c, name)
	if c == nil {
		return nil, failedf(pointerError(errno), "find program %q in object %q", progName, m.in().name)
	}
	return m.progHandle(c), nil
}

// A BPFObjectIterator iterates over an object's maps and over its programs, in the order of the file. It must be used
// by one goroutine at a time.
type BPFObjectIterator struct {
	module *Module
	bpfMap *BPFMap
	prog   *BPFProg
}

// Iterator returns an iterator positioned before the first map and the first program.
func (m *Module) Iterator() *BPFObjectIterator {
	return &BPFObjectIterator{module: m}
}

// in returns the object. For a nil or zero iterator, it returns one that is closed.
func (it *BPFObjectIterator) in() *object {
	if it == nil {
		return noObject
	}
	return it.module.in()
}

// NextMap returns the next map. It returns nil after the last one, and if the module is closed.
//
// Implements: bpf_object__next_map
func (it *BPFObjectIterator) NextMap() *BPFMap {
	if it.in().lock() != nil {
		return nil
	}
	defer it.in().unlock()
	var before *C.struct_bpf_map
	if it.bpfMap != nil {
		before = it.bpfMap.c
	}
	c := C.bpf_object__next_map(it.in().c, before)
	if c == nil {
		return nil
	}
	it.bpfMap = it.module.mapHandle(c)
	return it.bpfMap
}

// NextProgram returns the next program. It returns nil after the last one, and if the module is closed.
//
// Implements: bpf_object__next_program
func (it *BPFObjectIterator) NextProgram() *BPFProg {
	if it.in().lock() != nil {
		return nil
	}
	defer it.in().unlock()
	var before *C.struct_bpf_program
	if it.prog != nil {
		before = it.prog.c
	}
	c := C.bpf_object__next_program(it.in().c, before)
	if c == nil {
		return nil
	}
	it.prog = it.module.progHandle(c)
	return it.prog
}
