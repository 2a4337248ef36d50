package libbpfgo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openParts opens the object that has all kinds of maps. The load creates only the named ones.
func openParts(t *testing.T, parts ...string) *Module {
	t.Helper()
	needBPF(t)
	if err := needLibbpf(1, 5, "the section of an arena's variables"); err != nil {
		t.Skip(err)
	}
	kconfig := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(kconfig, []byte("CONFIG_DEFAULT_HOSTNAME=\"host\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: partsObject, KConfigFilePath: kconfig})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	it := m.Iterator()
	for bpfMap := it.NextMap(); bpfMap != nil; bpfMap = it.NextMap() {
		if err := bpfMap.SetAutocreate(slices.Contains(parts, bpfMap.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		if err := prog.SetAutoload(slices.Contains(parts, prog.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// prepare creates the maps, which a load doesn't where a program array is left out that is to refer to programs.
func prepare(m *Module) error {
	if err := m.Prepare(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// A map becomes or stops being one that libbpf has memory or references for only by its definition.
func TestMapsKeepTheirKind(t *testing.T) {
	m := openParts(t, "hash")
	for _, test := range []struct {
		name string
		to   MapType
	}{
		{"hash", MapTypeStructOps}, {"hash", MapTypeArena}, {"hash", MapTypeProgArray}, {"ops", MapTypeHash},
		{"ops", MapTypeArena}, {"arena", MapTypeHash}, {"arena", MapTypeStructOps}, {".rodata", MapTypeHash},
		{".rodata", MapTypeArena}, {".kconfig", MapTypeStructOps}, {"progs_of_it", MapTypeArrayOfMaps},
		{"progs_of_it", MapTypeHash}, {"maps_of_it", MapTypeProgArray}, {"maps_of_it", MapTypeStructOps},
	} {
		bpfMap := getMap(t, m, test.name)
		before := bpfMap.Type()
		wantErr(t, bpfMap.SetType(test.to), syscall.EINVAL, test.name, test.to.String())
		if after := bpfMap.Type(); after != before {
			t.Errorf("map %q is of type %v", test.name, after)
		}
	}
	bpfMap := getMap(t, m, "hash")
	for _, mapType := range []MapType{MapTypeArray, MapTypeHash} {
		if err := bpfMap.SetType(mapType); err != nil {
			t.Error(err)
		}
	}
	if _, err := bpfMap.InitialValue(); err != nil {
		t.Error(err)
	}
	if err := prepare(m); err != nil {
		t.Error(err)
	}
	if link, err := bpfMap.AttachStructOps(); err == nil {
		t.Error("a hash map was registered")
		_ = link.Destroy()
	}
}

func TestReuseKeepsKind(t *testing.T) {
	if err := needLibbpf(1, 6, "bpf_object__prepare"); err != nil {
		t.Skip(err)
	}
	ops := openParts(t, "ops", "on_init")
	if err := ops.Prepare(); err != nil {
		t.Fatal(err)
	}
	fd := getMap(t, ops, "ops").FileDescriptor()
	m := openParts(t, "hash")
	for _, name := range []string{"hash", "arena", ".rodata", "progs_of_it"} {
		bpfMap := getMap(t, m, name)
		wantErr(t, bpfMap.ReuseFD(fd), syscall.EINVAL, name)
		if bpfMap.Type() == MapTypeStructOps {
			t.Errorf("map %q is one of struct_ops", name)
		}
	}
	hash, err := CreateMap(MapTypeHash, "hash", 4, 4, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer hash.Close()
	wantErr(t, getMap(t, m, "ops").ReuseFD(hash.FileDescriptor()), syscall.EINVAL, "ops")
	if err := getMap(t, m, "hash").ReuseFD(hash.FileDescriptor()); err != nil {
		t.Error(err)
	}
	if err := m.Prepare(); err != nil {
		t.Error(err)
	}
}

// needMapType skips where the kernel has no maps of a type.
func needMapType(t *testing.T, mapType MapType) {
	t.Helper()
	needBPF(t)
	ok, err := BPFMapTypeIsSupported(mapType)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Skipf("this kernel has no maps of type %v", mapType)
	}
}

// The arena's variables are 40960 numbers of 4 bytes.
func TestArenaHasRoomForVariables(t *testing.T) {
	m := openParts(t, "arena")
	arena := getMap(t, m, "arena")
	least := uint32(40960 * 4 / os.Getpagesize())
	for _, tooFew := range []uint32{0, 1, 5, least - 1} {
		wantErr(t, arena.SetMaxEntries(tooFew), syscall.EINVAL, "arena", "pages")
		wantErr(t, arena.Resize(tooFew), syscall.EINVAL, "arena", "pages")
	}
	for _, enough := range []uint32{least + 1, least} {
		if err := arena.SetMaxEntries(enough); err != nil {
			t.Error(err)
		}
	}
	needMapType(t, MapTypeArena)
	if err := needLibbpf(1, 6, "bpf_object__prepare"); err != nil {
		t.Skip(err)
	}
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
}

// libbpf maps an arena where it is to be, whatever is there.
func TestArenaReplacesNoMemory(t *testing.T) {
	if err := needLibbpf(1, 6, "bpf_object__prepare"); err != nil {
		t.Skip(err)
	}
	memory, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	memory[0] = 1
	address := uint64(uintptr(unsafe.Pointer(&memory[0])))

	m := openParts(t, "arena")
	if err := getMap(t, m, "arena").SetMapExtra(address); err != nil {
		t.Fatal(err)
	}
	wantErr(t, m.Prepare(), syscall.EEXIST, "prepare object", "arena")
	if memory[0] != 1 {
		t.Error("the memory is another's")
	}

	// Where there was nothing before, and isn't again, is room.
	room, err := unix.Mmap(-1, 0, 1<<30, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	middle := uint64(uintptr(unsafe.Pointer(&room[0]))) + 1<<29
	if err := unix.Munmap(room); err != nil {
		t.Fatal(err)
	}
	for _, address := range []uint64{middle, middle + 1} {
		m := openParts(t, "arena")
		if err := getMap(t, m, "arena").SetMapExtra(address); err != nil {
			t.Fatal(err)
		}
		err := m.Prepare()
		if loaded := mapped(t, address); loaded != (err == nil) {
			t.Errorf("arena at %#x: %v, but memory is mapped: %v", address, err, loaded)
		}
		m.Close()
		if mapped(t, address) {
			t.Errorf("memory at %#x stays mapped", address)
		}
	}
}

// mapped reports whether the process has memory at an address.
func mapped(t *testing.T, address uint64) bool {
	page := uint64(os.Getpagesize())
	var resident byte
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(address&^(page-1)), uintptr(page), uintptr(unsafe.Pointer(&resident)))
	if errno != 0 && errno != unix.ENOMEM {
		t.Fatal(errno)
	}
	return errno == 0
}

func TestKconfigStaysLarge(t *testing.T) {
	m := openParts(t)
	kconfig := getMap(t, m, ".kconfig")
	wantErr(t, kconfig.SetValueSize(1), syscall.EINVAL, ".kconfig", "variables")
	if err := kconfig.SetValueSize(1 << 16); err != nil {
		t.Error(err)
	}
}

// A program that is for tracing no more needs no target in the kernel's BTF. libbpf before 1.2 looks for it.
func TestTypeOfTracing(t *testing.T) {
	needBPF(t)
	if err := needLibbpf(1, 2, "bpf_program__set_type of a program for tracing"); err != nil {
		t.Skip(err)
	}
	m, err := NewModuleFromFile("testdata/iter.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	it := m.Iterator()
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		if err := prog.SetType(BPFProgTypeXdp); err != nil {
			t.Error(err)
		}
	}
	if err := m.BPFLoadObject(); err == nil {
		t.Error("an iterator's program is one for XDP")
	}
}

// What Prepare hasn't relocated can't be loaded any more.
func TestAutoloadAfterPrepare(t *testing.T) {
	if err := needLibbpf(1, 6, "bpf_object__prepare"); err != nil {
		t.Skip(err)
	}
	needBPF(t)
	m, err := NewModuleFromFile("testdata/iter.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var progs []*BPFProg
	it := m.Iterator()
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		progs = append(progs, prog)
		if err := prog.SetAutoload(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
	for _, prog := range progs {
		wantErr(t, prog.SetAutoload(true), syscall.EBUSY, prog.Name(), "prepared")
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Error(err)
	}
}
