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

// A Module is a BPF object: the maps and programs of one ELF file. It is opened by
// [NewModuleFromFile] or [NewModuleFromBuffer], loaded into the kernel by [Module.BPFLoadObject],
// and freed by [Module.Close].
//
// The module owns its maps, programs, the links made from its programs and the buffers made from
// its maps: Close closes what is still open. A module that is dropped without Close is closed by
// the garbage collector, but not before its last link is destroyed and its last buffer stopped,
// since these are at work even if nobody holds the module any more.
//
// All methods may be called from several goroutines. Those that change the object (load, attach,
// the Set methods, Close) run one at a time and not together with others; operations on the maps'
// elements run side by side.
type Module struct {
	object  *object
	cleanup runtime.Cleanup

	// The handles that were asked for, guarded by object's lock.
	maps  map[*C.struct_bpf_map]*BPFMap
	progs map[*C.struct_bpf_program]*BPFProg
}

// NewModuleArgs are the options of [NewModuleFromFileArgs] and [NewModuleFromBufferArgs].
type NewModuleArgs struct {
	// KConfigFilePath names a kernel configuration, plain or gzipped, whose values go before
	// those of the running kernel's in the object's __kconfig variables. It has 16 MiB at most.
	KConfigFilePath string
	// BTFObjPath names a file with the kernel's BTF, for kernels without /sys/kernel/btf/vmlinux. It
	// stays open until the load, which reads this file by its descriptor, or by BTFObjPath where /proc isn't
	// mounted. It has 256 MiB of BTF at most. If the object has CO-RE relocations, the load checks it as the
	// object's own BTF is checked.
	BTFObjPath string
	// BPFObjName is the object's name, the first part of the names of its .data, .rodata and
	// .bss maps. An object from a file has the file's name.
	BPFObjName string
	// BPFObjPath is the file to open. It has 256 MiB at most.
	BPFObjPath string
	// BPFObjBuff is the object to open, the content of an ELF file. It is copied.
	BPFObjBuff []byte
	// SkipMemlockBump is without effect. The limit of locked memory is raised by libbpf at
	// load, if the kernel (before 5.11) accounts maps and programs by it, and left alone
	// otherwise.
	SkipMemlockBump bool
	// KernelLogLevel is the verbosity of the verifier's log for programs that load: 1, 2, and
	// 4 for statistics. The log goes to the debug level of libbpf's messages.
	KernelLogLevel uint32
	// BPFTokenPath is a BPF file system that delegates what loading needs to a process in a user
	// namespace. It needs libbpf 1.4 and Linux 6.9. Without one, libbpf tries the environment's
	// LIBBPF_BPF_TOKEN_PATH and /sys/fs/bpf, and goes on if neither delegates anything.
	BPFTokenPath string
}

// NewModuleFromFile opens the BPF object in the file at bpfObjPath. Nothing is loaded yet.
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
	// As libbpf calls an object that it reads from the file.
	file := filepath.Base(args.BPFObjPath)
	args.BPFObjName, _, _ = strings.Cut(file, ".")
	return newModule(what, args, image, file)
}

// NewModuleFromBuffer opens the BPF object in bpfObjBuff, the content of an ELF file, which may
// be changed afterwards, and gives it a name.
//
// What libbpf trusts in an object is checked before it gets it, with any libbpf: the sections and symbols of the
// file, its types (BTF), the accesses that are relocated by them (CO-RE), and the variables that maps are made of. An
// object for which libbpf's reading or writing would go beyond its memory, or never end, gives an error for which
// errors.Is(err, [LibbpfErrnoFormat]) holds. The programs in it are the kernel's to check.
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

// newModule opens the object in image, the content of an ELF file. Name is what the module's errors call it.
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

// BPFLoadObject creates the object's maps and loads its programs into the kernel. It can be done
// once. A program that the kernel rejects gives a [VerifierError].
//
// It needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN depending on the programs; CAP_SYS_ADMIN before
// Linux 5.8. If the thread lacks them (EPERM), or the process has too few free descriptors (EMFILE) for
// the programs and 6 more, libbpf isn't asked, and the load can be tried again.
//
// The reason is that libbpf finds out what the kernel supports by trying, and remembers a trial that
// failed for any reason as a feature which the kernel doesn't have, for the rest of the process. Some
// cases remain: other goroutines that use up the descriptors or the memory in the middle of a load,
// a load by a thread without CAP_BPF where kernel.unprivileged_bpf_disabled is 0, which then can't
// load BTF, one without CAP_NET_ADMIN of cgroup_skb programs, and one without CAP_PERFMON, after which
// __arg_ctx and bpf_probe_read_kernel() are replaced by what older kernels have. A process that loads with
// different rights at different times makes the first load with all of them.
//
// Implements: bpf_object__load
func (m *Module) BPFLoadObject() error {
	return m.load("load", func(c *C.struct_bpf_object) C.int { return C.bpf_object__load(c) }, true)
}

// Prepare does the first half of [Module.BPFLoadObject]: it creates the maps, which can then be
// filled, and relocates the programs, but loads none. BPFLoadObject does the rest.
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
			o.askPerfLink()
		}
		return nil
	})
	if tried {
		o.closeBTF()
	}
	// libbpf closes the maps, too, if the load fails.
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

// A reservedArena is memory at the address that an arena's definition asks for.
type reservedArena struct {
	c             *C.struct_bpf_map
	address, size uintptr
}

// reserveArenas takes the memory of arenas that are to be at an address. bpf_object__create_maps of libbpf 1.7 would
// map them there whatever the process has there, such as Go's heap.
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

// freeArenas frees what was reserved, unless the arena is there.
func freeArenas(arenas []reservedArena) {
	for _, a := range arenas {
		var size C.size_t
		if uintptr(C.bpf_map__initial_value(a.c, &size)) != a.address {
			_, _, _ = unix.Syscall(unix.SYS_MUNMAP, a.address, a.size, 0)
		}
	}
}

// Close destroys the links, stops and frees the buffers, and frees the object with its maps and
// programs, which disappear from the kernel unless they are pinned or used elsewhere. It waits for
// calls that are under way. Closing again does nothing, nor does closing nil.
//
// Implements: bpf_object__close
func (m *Module) Close() {
	if m == nil || m.object == nil {
		return
	}
	m.cleanup.Stop()
	m.object.close()
	atWork.remove(m)
}

// GetMap returns the object's map of that name. If there is none, errors.Is(err, syscall.ENOENT)
// holds. The maps behind global variables are named ".data", ".rodata", ".bss" and so on.
//
// Implements: bpf_object__find_map_by_name
func (m *Module) GetMap(mapName string) (*BPFMap, error) {
	if err := m.in().lock(); err != nil {
		return nil, failedf(err, "find map %q", mapName)
	}
	defer m.in().unlock()
	return m.mapByName(mapName)
}

// mapByName is GetMap under the object's lock.
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

// mapHandle returns the one handle of a map, under the object's lock.
func (m *Module) mapHandle(c *C.struct_bpf_map) *BPFMap {
	bpfMap := m.maps[c]
	if bpfMap == nil {
		bpfMap = newBPFMap(m, c)
		m.maps[c] = bpfMap
	}
	return bpfMap
}

// progHandle returns the one handle of a program, under the object's lock.
func (m *Module) progHandle(c *C.struct_bpf_program) *BPFProg {
	prog := m.progs[c]
	if prog == nil {
		prog = newBPFProg(m, c)
		m.progs[c] = prog
	}
	return prog
}

// GetProgram returns the object's program of that name, which is its function's name in C. If
// there is none, errors.Is(err, syscall.ENOENT) holds.
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

// A BPFObjectIterator walks over the maps and over the programs of an object, in the order of the
// file. It is for one goroutine.
type BPFObjectIterator struct {
	module *Module
	bpfMap *BPFMap
	prog   *BPFProg
}

// Iterator returns an iterator that stands before the first map and the first program.
func (m *Module) Iterator() *BPFObjectIterator {
	return &BPFObjectIterator{module: m}
}

// in returns the object; for nil and the zero value, one that is closed.
func (it *BPFObjectIterator) in() *object {
	if it == nil {
		return noObject
	}
	return it.module.in()
}

// NextMap returns the next map; nil after the last, and if the module is closed.
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

// NextProgram returns the next program; nil after the last, and if the module is closed.
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
