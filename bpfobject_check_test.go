package libbpfgo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const partsObject = "testdata/parts.bpf.o"

// A damagedObject is an object whose parts share the memory of its image: what is written to them, libbpf gets.
type damagedObject struct {
	t testing.TB
	*objectFile
}

func newDamaged(t testing.TB, path string) damagedObject {
	t.Helper()
	o, err := checkObject(readFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return damagedObject{t, o}
}

// section returns the header of a section.
func (d damagedObject) section(name string) []byte {
	d.t.Helper()
	for i := range d.sections {
		if d.sections[i].name == name {
			return d.data[int(binary.NativeEndian.Uint64(d.data[40:]))+64*i:]
		}
	}
	d.t.Fatalf("no section %q", name)
	return nil
}

// symbol returns the symbol of a name.
func (d damagedObject) symbol(name string) []byte {
	d.t.Helper()
	names := d.sections[d.symtab.link].data
	for at := 0; at < len(d.symtab.data); at += elf.Sym64Size {
		if s, _ := stringAt(names, binary.NativeEndian.Uint32(d.symtab.data[at:])); s == name {
			return d.symtab.data[at:]
		}
	}
	d.t.Fatalf("no symbol %q", name)
	return nil
}

// id returns the id of the type of a kind and a name.
func (d damagedObject) id(kind btfKind, name string) uint32 {
	d.t.Helper()
	for id := uint32(1); int(id) < len(d.btf.offsets); id++ {
		if d.btf.kind(id) == kind && d.btf.name(id) == name {
			return id
		}
	}
	d.t.Fatalf("no type %q of kind %d", name, kind)
	return 0
}

// put sets a field of 4 bytes of a type.
func (d damagedObject) put(id uint32, at int, value uint32) {
	binary.NativeEndian.PutUint32(d.btf.data[int(d.btf.offsets[id])+at:], value)
}

// member returns where the member of a name begins in a struct.
func (d damagedObject) member(id uint32, name string) int {
	d.t.Helper()
	for part := range d.btf.parts(id) {
		if s, _ := stringAt(d.btf.strings, d.btf.word(id, 12+12*part)); s == name {
			return 12 + 12*part
		}
	}
	d.t.Fatalf("type %d has no member %q", id, name)
	return 0
}

// What libbpf trusts in an object is checked before it gets it. Some of these crash it at the open, at the load or in a
// setter; others it refuses itself, if it is new enough.
func TestMalformedObjects(t *testing.T) {
	put32, put64 := binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	for name, test := range map[string]struct {
		change   func(d damagedObject)
		mentions string
	}{
		"struct_ops at the end of 32 bits": {func(d damagedObject) {
			sec := d.id(btfDatasec, ".struct_ops")
			d.put(sec, 8, 24)
			d.put(sec, 16, 0xfffffff0)
		}, "variable of 24 bytes at 4294967280"},
		"struct_ops by a symbol at the end of 32 bits": {func(d damagedObject) { put64(d.symbol("ops")[8:], 0xfffffff0) }, `"ops", lies outside of section ".struct_ops"`},
		"symbol that is too large":                     {func(d damagedObject) { put64(d.symbol("variable")[16:], 9) }, `"variable", lies outside of section ".rodata"`},
		"symbol in no section":                         {func(d damagedObject) { put32(d.symbol("variable")[4:], 500<<16) }, "section 500 of"},
		"function that ends in an instruction": {func(d damagedObject) {
			for i := range d.sections {
				if d.sections[i].name == "struct_ops/init" {
					d.sections[i].data[0] = 0x18
				}
			}
		}, `"on_init", ends in the middle of an instruction`},
		"section twice":              {func(d damagedObject) { copy(d.section("license")[:4], d.section(".maps")[:4]) }, `section ".maps" is there twice`},
		"maps of symbols":            {func(d damagedObject) { copy(d.section(".symtab")[:4], d.section(".maps")[:4]) }, `section ".maps" is`},
		"section of 4 GiB":           {func(d damagedObject) { put32(d.section(".maps")[36:], 1) }, "has 4294967"},
		"struct_ops map in .maps":    {func(d damagedObject) { d.setMapType("hash", MapTypeStructOps) }, `"hash" is of type struct_ops`},
		"function that returns type": {func(d damagedObject) { d.put(d.btf.word(d.id(btfFunc, "called"), 8), 8, 9999) }, "refers to type 9999"},
		"function without prototype": {func(d damagedObject) { d.put(d.id(btfFunc, "called"), 8, d.id(btfInt, "int")) }, "without a prototype"},
		"type that is itself":        {func(d damagedObject) { d.put(d.id(btfTypedef, "number"), 8, d.id(btfTypedef, "number")) }, `"number", is nested`},
		"struct in itself": {func(d damagedObject) {
			id := d.id(btfStruct, "tcp_congestion_ops")
			d.put(id, d.member(id, "name")+4, id)
		}, "nested too deep or in itself"},
		"bit field without a size": {func(d damagedObject) { d.put(d.id(btfInt, "unsigned int"), 8, 0) }, "bit field without a size"},
		"negative access": {func(d damagedObject) {
			at := bytes.Index(d.btf.strings, []byte("\x000:0\x00"))
			d.btf.strings[at+1] = '-'
		}, `access "-:0"`},
		"kfunc that is a struct":     {func(d damagedObject) { d.put(d.id(btfDatasec, ".ksyms"), 12, d.id(btfStruct, "task_struct")) }, "other than variables"},
		"configuration that is code": {func(d damagedObject) { d.put(d.id(btfDatasec, ".kconfig"), 12, d.id(btfFunc, "called")) }, "other than variables"},
		"configuration of 2 GiB": {func(d damagedObject) {
			d.put(d.btf.word(d.id(btfVar, "CONFIG_DEFAULT_HOSTNAME"), 8), 20, math.MaxInt32)
		}, "CONFIG_DEFAULT_HOSTNAME"},
		"member beyond struct_ops": {func(d damagedObject) {
			id := d.id(btfStruct, "tcp_congestion_ops")
			d.put(id, d.member(id, "init")+8, 20*8)
		}, `member "init" outside`},
		"bit field in struct_ops": {func(d damagedObject) {
			id := d.id(btfStruct, "tcp_congestion_ops")
			d.put(id, 4, d.btf.word(id, 4)|1<<31)
			d.put(id, d.member(id, "name")+4, d.id(btfInt, "int"))
			d.put(id, d.member(id, "name")+8, 8<<24)
		}, `member "name", a bit field`},
		"struct of 2 GiB":              {func(d damagedObject) { d.put(d.id(btfStruct, "task_struct"), 8, 1<<31) }, "has 2147483648 bytes"},
		"name beyond the names":        {func(d damagedObject) { d.put(d.id(btfStruct, "task_struct"), 0, 1<<20) }, "name at byte 1048576"},
		"kind that is unknown":         {func(d damagedObject) { d.put(1, 4, 31<<24) }, "unknown kind 31"},
		"names without an end":         {func(d damagedObject) { d.btf.strings[len(d.btf.strings)-1] = 'x' }, "corrupt strings"},
		"types of another order":       {func(d damagedObject) { slices.Reverse(d.byName[".BTF"].data[:2]) }, "byte order"},
		"relocations of another order": {func(d damagedObject) { slices.Reverse(d.byName[".BTF.ext"].data[:2]) }, "byte order"},
		"types beyond the section":     {func(d damagedObject) { put32(d.byName[".BTF"].data[16:], 1<<20) }, "strings end"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDamaged(t, partsObject)
			test.change(d)
			m, err := NewModuleFromBuffer(d.data, "damaged")
			if err == nil {
				m.Close()
				t.Fatal("was opened")
			}
			wantErr(t, err, LibbpfErrnoFormat, `open object "damaged"`, test.mentions)
		})
	}
}

// Relocations of .maps are found whatever they are called, also before .maps: libbpf follows them if it is executable.
func TestReferencesBeforeMaps(t *testing.T) {
	d := newDamaged(t, mainObject)
	if d.references {
		t.Fatal("there are references already")
	}
	maps := slices.IndexFunc(d.sections, func(s objectSection) bool { return s.name == ".maps" })
	before := slices.IndexFunc(d.sections[:maps], func(s objectSection) bool { return s.kind == elf.SHT_REL })
	if before < 0 {
		t.Fatal("no relocations before .maps")
	}
	binary.NativeEndian.PutUint32(d.section(d.sections[before].name)[44:], uint32(maps))
	if o, err := checkObject(d.data); err != nil || !o.references {
		t.Errorf("references weren't found, error is %v", err)
	}
}

// setMapType changes the type of a map in its definition.
func (d damagedObject) setMapType(name string, mapType MapType) {
	def := d.btf.word(d.id(btfVar, name), 8)
	pointer := d.btf.word(def, d.member(def, "type")+4)
	d.put(d.btf.word(pointer, 8), 20, uint32(mapType))
}

// newBTF makes BTF of types, each of which consists of 32-bit words.
func newBTF(types ...[]uint32) []byte {
	var words []byte
	for _, t := range types {
		for _, w := range t {
			words = binary.NativeEndian.AppendUint32(words, w)
		}
	}
	const names = "\x00name of a type\x00"
	header := binary.NativeEndian.AppendUint16(nil, btfMagic)
	header = append(header, 1, 0)
	for _, w := range []int{24, 0, len(words), len(words), len(names)} {
		header = binary.NativeEndian.AppendUint32(header, uint32(w))
	}
	return slices.Concat(header, words, []byte(names))
}

// Types are nested as deep and consist of as many others as libbpf can walk: it goes by recursion, in all ways there are.
func TestNestedTypes(t *testing.T) {
	tooMany := 1 << 20
	if testing.Short() {
		tooMany = 1 << 14
	}
	head := func(kind btfKind, parts int) uint32 { return uint32(kind)<<24 | uint32(parts) }
	integer := []uint32{1, head(btfInt, 0), 4, 32}
	nested := func(depth int, next func(before uint32) []uint32) []byte {
		types := [][]uint32{integer}
		for range depth {
			types = append(types, next(uint32(len(types))))
		}
		return newBTF(types...)
	}
	qualified := func(before uint32) []uint32 { return []uint32{0, head(btfConst, 0), before} }
	pointer := func(before uint32) []uint32 { return []uint32{0, head(btfPointer, 0), before} }
	twice := func(before uint32) []uint32 {
		return []uint32{1, head(btfStruct, 2), 8, 0, before, 0, 0, before, 0}
	}
	function := func(before uint32) []uint32 {
		return []uint32{0, head(btfFuncProto, 2), before, 0, before, 0, before}
	}
	for name, test := range map[string]struct {
		btf []byte
		ok  bool
	}{
		"typedefs":           {nested(200, qualified), true},
		"too many typedefs":  {nested(tooMany, qualified), false},
		"pointers":           {nested(200, pointer), true},
		"too many pointers":  {nested(tooMany, pointer), false},
		"structs":            {nested(15, twice), true},
		"too many structs":   {nested(32, twice), false},
		"functions":          {nested(10, function), true},
		"too many functions": {nested(20, function), false},
		"pointer to itself":  {newBTF(pointer(1)), false},
		"list":               {newBTF(integer, []uint32{1, head(btfStruct, 1), 8, 0, 3, 0}, pointer(2)), true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := checkBTF(test.btf); (err == nil) != test.ok {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// Of kinds of types that nobody knows, the size isn't known.
func TestUnknownKinds(t *testing.T) {
	const kindBits = 31
	for kind := range btfKind(kindBits + 1) {
		known := kind > 0 && int(kind) < len(btfTail)
		_, err := checkBTF(newBTF([]uint32{0, uint32(kind) << 24, 0}))
		if unknown := err != nil && strings.Contains(err.Error(), "unknown kind"); unknown == known {
			t.Errorf("kind %d: error is %v", kind, err)
		}
	}
}

// libbpf follows calls by recursion: each function may call another one.
func TestTooManyFunctions(t *testing.T) {
	for n, ok := range map[int]bool{maxFunctions: true, maxFunctions + 1: false} {
		d := newDamaged(t, partsObject)
		symbols := slices.Concat(d.symtab.data, bytes.Repeat(d.symbol("called")[:elf.Sym64Size], n-1))
		header := d.section(".symtab")
		binary.NativeEndian.PutUint64(header[24:], uint64(len(d.data)))
		binary.NativeEndian.PutUint64(header[32:], uint64(len(symbols)))
		if _, err := checkObject(append(d.data, symbols...)); (err == nil) != ok {
			t.Errorf("%d functions: error is %v", n, err)
		}
	}
}

// The kernel's BTF from a file is checked as the object's is.
func TestKernelBTFIsChecked(t *testing.T) {
	needBPF(t)
	object := newDamaged(t, "testdata/kconfig.bpf.o")
	types := bytes.Clone(object.byName[".BTF"].data)
	wholeFile := bytes.Clone(object.data)
	object.put(object.id(btfStruct, "task_struct"), 8, 1<<31)
	kconfig := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(kconfig, []byte("CONFIG_LIBBPFGO_TEST=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content  []byte
		want     error
		mentions string
	}{
		"BTF":             {types, nil, ""},
		"in ELF":          {wholeFile, nil, ""},
		"damaged":         {object.byName[".BTF"].data, LibbpfErrnoFormat, "2147483648 bytes"},
		"damaged in ELF":  {object.data, LibbpfErrnoFormat, "2147483648 bytes"},
		"ELF without BTF": {bytes.ReplaceAll(wholeFile, []byte(".BTF\x00"), []byte(".XTF\x00")), syscall.ENODATA, "no section .BTF"},
		"text":            {[]byte(strings.Repeat("text", 10)), LibbpfErrnoFormat, "not BTF"},
		"empty":           {nil, LibbpfErrnoFormat, "not BTF"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "btf")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: "testdata/kconfig.bpf.o", BTFObjPath: path, KConfigFilePath: kconfig})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.BPFLoadObject(); test.want != nil {
				wantErr(t, err, test.want, "load object", path, test.mentions)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
