package libbpfgo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fuzzSeed is an object of this repository and where its fields are.
type fuzzSeed struct {
	path   string
	image  func() []byte
	fields func() []fuzzFields
}

// fuzzFields are the places of a kind of field in a file, such as the sizes of sections.
type fuzzFields struct {
	kind    string
	width   int
	offsets []int
}

// fuzzSeeds are all objects of this repository that were built.
var fuzzSeeds = sync.OnceValue(func() (seeds []*fuzzSeed) {
	for _, pattern := range []string{"testdata/*.bpf.o", "selftest/*/*.bpf.o", "examples/*/*.bpf.o", "bench/*.bpf.o", "compat/*/*.bpf.o"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			seeds = append(seeds, newFuzzSeed(path))
		}
	}
	return seeds
})

func newFuzzSeed(path string) *fuzzSeed {
	s := &fuzzSeed{path: path}
	s.image = sync.OnceValue(func() []byte {
		image, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		return image
	})
	s.fields = sync.OnceValue(func() []fuzzFields { return objectFields(s.image()) })
	return s
}

// mutant returns the object with the changes that script consists of, of mutationSize bytes each.
func (s *fuzzSeed) mutant(script []byte) []byte {
	image := bytes.Clone(s.image())
	mutate(image, s.fields(), script)
	return image
}

// mutationSize is the size of a change: the kind of field (2 bytes), which of them (2), how it is changed (1), by
// what (4).
const mutationSize = 9

// mutate makes the changes that script consists of.
func mutate(image []byte, kinds []fuzzFields, script []byte) {
	for ; len(script) >= mutationSize; script = script[mutationSize:] {
		fields := kinds[int(binary.LittleEndian.Uint16(script))%len(kinds)]
		at := func(n uint16) []byte {
			offset := fields.offsets[int(n)%len(fields.offsets)]
			return image[offset : offset+fields.width]
		}
		field := at(binary.LittleEndian.Uint16(script[2:]))
		operand := binary.LittleEndian.Uint32(script[5:])
		value := littleEndian(field)
		switch script[4] % 8 {
		case 0:
			value = uint64(operand)
		case 1:
			value = fuzzValues[int(operand)%len(fuzzValues)]
		case 2:
			value += uint64(int8(operand))
		case 3:
			value += fuzzValues[int(operand)%len(fuzzValues)]
		case 4:
			value = littleEndian(at(uint16(operand)))
		case 5:
			value ^= 1 << (operand % 64)
		case 6:
			value = uint64(operand % 64)
		case 7:
			// Names that libbpf looks for, in the place of others.
			name := fuzzNames[int(operand)%len(fuzzNames)]
			offset := fields.offsets[int(binary.LittleEndian.Uint16(script[2:]))%len(fields.offsets)]
			if fields.width == 1 && len(name) < len(image)-offset {
				copy(image[offset:], name+"\x00")
			}
			continue
		}
		putLittleEndian(field, value)
	}
}

func littleEndian(field []byte) (value uint64) {
	for i, b := range field {
		value |= uint64(b) << (8 * i)
	}
	return value
}

func putLittleEndian(field []byte, value uint64) {
	for i := range field {
		field[i] = byte(value >> (8 * i))
	}
}

// fuzzValues are where additions overflow, signs change and counts end.
var fuzzValues = []uint64{
	0, 1, 2, 3, 4, 7, 8, 9, 16, 24, 32, 64, 100, 255, 256, 1 << 12, 1<<12 + 1, 0x7fff, 0x8000, 0xffff, 1 << 16, 1 << 20,
	1<<24 - 1, 1 << 24, 0x7ffffff0, 0x7fffffff, 0x80000000, 0x80000001, 0xff000000, 0xfff1, 0xfff2, 0xfffffff0, 0xfffffff8,
	0xfffffffe, 0xffffffff, 1 << 32, 1<<63 - 1, 1 << 63, ^uint64(0) - 7, ^uint64(0),
}

var fuzzNames = []string{
	".maps", "maps", "license", "version", ".kconfig", ".ksyms", ".struct_ops", ".struct_ops.link", "?.struct_ops", ".bss",
	".data", ".rodata", ".data.x", ".rodata.x", ".text", ".arena.1", ".addr_space.1", ".jumptables", ".BTF", ".BTF.ext",
	".BTF_ids", "?.struct_ops.link", "struct_ops", "struct_ops/x", "xdp", "freplace/x", "iter/task", "type", "key", "value", "values",
	"max_entries", "key_size", "value_size", "pinning", "map_flags", "map_extra", "numa_node", "LINUX_KERNEL_VERSION",
	"CONFIG_HZ", "bpf_map", "",
}

// objectFields finds the fields of an object that is whole.
func objectFields(image []byte) []fuzzFields {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		panic(err)
	}
	var kinds []fuzzFields
	add := func(kind string, width int, offsets ...int) {
		for i := range kinds {
			if kinds[i].kind == kind && kinds[i].width == width {
				kinds[i].offsets = append(kinds[i].offsets, offsets...)
				return
			}
		}
		if len(offsets) > 0 {
			kinds = append(kinds, fuzzFields{kind, width, offsets})
		}
	}
	each := func(kind string, width, from, to, step int) {
		for offset := from; offset+width <= to; offset += step {
			add(kind, width, offset)
		}
	}
	table := int(binary.LittleEndian.Uint64(image[40:]))
	for i, s := range file.Sections {
		header := table + i*64
		for _, f := range []struct {
			kind          string
			offset, width int
		}{
			{"name", 0, 4}, {"type", 4, 4}, {"flags", 8, 8}, {"addr", 16, 8}, {"offset", 24, 8}, {"size", 32, 8},
			{"link", 40, 4}, {"info", 44, 4}, {"align", 48, 8}, {"entsize", 56, 8},
		} {
			add("section "+f.kind, f.width, header+f.offset)
		}
		from, to := int(s.Offset), int(s.Offset+s.FileSize)
		if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
			continue
		}
		switch {
		case s.Type == elf.SHT_SYMTAB:
			for _, f := range []struct {
				kind          string
				offset, width int
			}{{"name", 0, 4}, {"info", 4, 1}, {"other", 5, 1}, {"section", 6, 2}, {"value", 8, 8}, {"size", 16, 8}} {
				each("symbol "+f.kind, f.width, from+f.offset, to, 24)
			}
		case s.Type == elf.SHT_REL:
			each("relocation offset", 8, from, to, 16)
			each("relocation type", 4, from+8, to, 16)
			each("relocation symbol", 4, from+12, to, 16)
		case s.Type == elf.SHT_STRTAB:
			each("names", 1, from, to, 1)
		case s.Name == ".BTF":
			for _, f := range btfFields(image[from:to]) {
				for _, offset := range f.offsets {
					add(f.kind, f.width, from+offset)
				}
			}
		case s.Name == ".BTF.ext":
			each("BTF.ext header", 4, from, min(from+32, to), 4)
			each("BTF.ext", 4, from+32, to, 4)
		case s.Flags&elf.SHF_EXECINSTR != 0:
			each("instruction operation", 1, from, to, 8)
			each("instruction registers", 1, from+1, to, 8)
			each("instruction offset", 2, from+2, to, 8)
			each("instruction immediate", 4, from+4, to, 8)
		default:
			each("data "+s.Name, 1, from, to, 1)
			each("data "+s.Name, 4, from, to, 4)
		}
	}
	each("file", 1, 0, len(image), 1)
	each("ELF header", 1, 0, 64, 1)
	each("ELF header", 2, 48, 64, 2)
	return kinds
}

// btfFields finds the fields of BTF that is whole.
func btfFields(data []byte) []fuzzFields {
	offsets := make(map[string][]int)
	each := func(kind string, from, to, step int) {
		for offset := from; offset+4 <= to; offset += step {
			offsets[kind] = append(offsets[kind], offset)
		}
	}
	word := func(offset int) int { return int(binary.LittleEndian.Uint32(data[offset:])) }
	each("header", 0, 24, 4)
	types := word(4)
	begin, end := types+word(8), types+word(8)+word(12)
	for offset := begin; offset+12 <= end; {
		each("name", offset, offset+4, 4)
		each("info", offset+4, offset+8, 4)
		each("size or type", offset+8, offset+12, 4)
		info := word(offset + 4)
		kind, count := btfKind(info>>24&31), info&0xffff
		extra := map[btfKind]struct {
			name  string
			words int
		}{
			btfInt: {"int", 1}, btfArray: {"array", 3}, btfStruct: {"member", 3 * count}, btfUnion: {"member", 3 * count},
			btfEnum: {"enum", 2 * count}, btfFuncProto: {"parameter", 2 * count}, btfVar: {"var", 1},
			btfDatasec: {"datasec", 3 * count}, btfDeclTag: {"tag", 1}, btfEnum64: {"enum", 3 * count},
		}[kind]
		offset += 12
		each(extra.name, offset, offset+4*extra.words, 4)
		offset += 4 * extra.words
	}
	names := make([]int, word(20))
	for i := range names {
		names[i] = types + word(16) + i
	}
	kinds := []fuzzFields{{"BTF names", 1, names}}
	for name, list := range offsets {
		kinds = append(kinds, fuzzFields{"BTF " + name, 4, list})
	}
	slices.SortFunc(kinds, func(a, b fuzzFields) int { return bytes.Compare([]byte(a.kind), []byte(b.kind)) })
	return kinds
}

// FuzzObject opens objects of this repository that were changed at random, calls what may be called before the load,
// and loads them. Nothing is attached or pinned.
func FuzzObject(f *testing.F) {
	needFuzzing(f)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range fuzzSeeds() {
		script, calls := make([]byte, mutationSize), make([]byte, 24)
		for _, b := range [][]byte{script, calls} {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
		f.Add(uint16(i), script, calls)
	}
	f.Fuzz(func(t *testing.T, object uint16, script, calls []byte) {
		if len(script) > 16*mutationSize || len(calls) > 200 {
			return
		}
		seed := fuzzSeeds()[int(object)%len(fuzzSeeds())]
		useAtRandom(t, NewModuleArgs{BPFObjBuff: seed.mutant(script), BPFObjName: "fuzz"}, calls)
	})
}

// FuzzKernelBTF loads objects against BTF, in the place of the kernel's, that was changed at random.
func FuzzKernelBTF(f *testing.F) {
	needFuzzing(f)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range fuzzSeeds() {
		script := make([]byte, mutationSize)
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		f.Add(uint16(i), uint16(i), script)
	}
	f.Fuzz(func(t *testing.T, object, kernel uint16, script []byte) {
		if len(script) > 16*mutationSize {
			return
		}
		seeds := fuzzSeeds()
		file, err := elf.NewFile(bytes.NewReader(seeds[int(kernel)%len(seeds)].image()))
		if err != nil {
			t.Fatal(err)
		}
		data, err := file.Section(".BTF").Data()
		if err != nil {
			t.Fatal(err)
		}
		mutate(data, btfFields(data), script)
		fd, err := unix.MemfdCreate("btf", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, data); err != nil {
			t.Fatal(err)
		}
		image := seeds[int(object)%len(seeds)].image()
		useAtRandom(t, NewModuleArgs{BPFObjBuff: image, BPFObjName: "fuzz", BTFObjPath: fmt.Sprintf("/proc/self/fd/%d", fd)}, nil)
	})
}

func needFuzzing(f *testing.F) {
	needBPF(f)
	if len(fuzzSeeds()) == 0 {
		f.Fatal("no objects (make builds them)")
	}
	SetLogger(slog.New(slog.DiscardHandler)) // libbpf warns of most of them
	f.Cleanup(func() { SetLogger(nil) })
}

// useAtRandom opens an object, makes the calls, and loads it.
func useAtRandom(t testing.TB, args NewModuleArgs, calls []byte) {
	m, err := NewModuleFromBufferArgs(args)
	if err != nil {
		return
	}
	defer m.Close()
	var maps []*BPFMap
	var progs []*BPFProg
	it := m.Iterator()
	for bpfMap := it.NextMap(); bpfMap != nil; bpfMap = it.NextMap() {
		maps = append(maps, bpfMap)
		if bpfMap.PinPath() != "" {
			if err := bpfMap.SetPinPath(""); err != nil {
				t.Fatal(err)
			}
		}
	}
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		progs = append(progs, prog)
	}
	var names []string
	if file, err := elf.NewFile(bytes.NewReader(args.BPFObjBuff)); err == nil {
		symbols, _ := file.Symbols()
		for _, s := range symbols {
			names = append(names, s.Name)
		}
	}
	for ; len(calls) >= 6; calls = calls[6:] {
		value := binary.LittleEndian.Uint32(calls[2:])
		if calls[0]&1 != 0 {
			value = uint32(fuzzValues[value%uint32(len(fuzzValues))])
		}
		if len(maps) > 0 {
			callAtRandom(maps[int(calls[1])%len(maps)], calls[0]>>1, value)
		}
		if len(progs) > 0 {
			prog := progs[int(calls[1])%len(progs)]
			switch calls[0] >> 1 {
			case 64:
				_ = prog.SetType(BPFProgType(value))
			case 65:
				_ = prog.SetExpectedAttachType(BPFAttachType(value))
			case 66:
				_ = prog.SetAutoload(value&1 != 0)
			case 67:
				_ = prog.SetAttachTarget(int(int32(value)), "")
			case 68:
				_ = prog.SetAttachTarget(0, "bpf_fentry_test1")
			}
		}
		if len(names) > 0 && calls[0]>>1 == 69 && !slices.ContainsFunc(maps, large) {
			_ = m.InitGlobalVariable(names[int(calls[1])%len(names)], value)
		}
		if calls[0]>>1 == 70 && bounded(maps) {
			_ = m.Prepare()
		}
	}
	if bounded(maps) {
		_ = m.BPFLoadObject()
		for _, bpfMap := range maps {
			if !large(bpfMap) {
				_, _ = bpfMap.InitialValue()
			}
		}
	}
}

// callAtRandom calls a method of a map that may be called before the load.
func callAtRandom(m *BPFMap, method byte, value uint32) {
	switch method % 20 {
	case 0:
		_ = m.SetType(MapType(value))
	case 1:
		_ = m.SetType(MapType(value % 40))
	case 2:
		_ = m.SetMaxEntries(value)
	case 3:
		_ = m.SetKeySize(value)
	case 4:
		if !large(m) {
			_ = m.SetValueSize(value)
		}
	case 5:
		_ = m.SetMapFlags(MapFlag(value))
	case 6:
		_ = m.SetMapExtra(uint64(value))
	case 7:
		_ = m.SetNUMANode(value)
	case 8:
		_ = m.SetIfIndex(value)
	case 9:
		_ = m.SetAutocreate(value&1 != 0)
	case 10, 11:
		if !large(m) {
			_, _ = m.InitialValue()
		}
	case 12:
		if !large(m) && m.ValueSize() > 0 {
			initial := make([]byte, m.ValueSize())
			_ = m.SetInitialValue(unsafe.Pointer(&initial[0]))
		}
	case 13, 14:
		mapType := []MapType{MapTypeHash, MapTypeArray, MapTypeRingbuf}[value%3]
		keySize, valueSize := 4, int(value>>8%64)
		if mapType == MapTypeRingbuf {
			keySize, valueSize = 0, 0
		}
		if other, err := CreateMap(mapType, "other", keySize, valueSize, 4096, nil); err == nil {
			_ = m.ReuseFD(other.FileDescriptor())
			_ = other.Close()
		}
	case 15:
		_, _ = m.InnerMapInfo()
	case 16:
		_ = m.SetInnerMap(int(value))
	case 17:
		_ = m.SetMapExtra(uint64(value) << 12)
	case 18:
		_ = m.MaxEntries() + uint32(m.MapFlags()) + m.BTFKeyTypeID() + m.BTFValueTypeID()
		_ = m.IsInternal()
	case 19:
		if !large(m) {
			_ = m.SetValueSize(uint32(m.ValueSize()) + uint32(int8(value)))
		}
	}
}

// large reports whether the values of a map are so large that a test doesn't copy them.
func large(m *BPFMap) bool {
	return m.ValueSize() > 1<<20
}

// bounded reports whether the maps are of a size that a test may ask the kernel for.
func bounded(maps []*BPFMap) bool {
	const most = 16 << 20
	size := uint64(0)
	add := func(entries uint32, keySize, valueSize int) {
		cpus, _ := NumPossibleCPUs()
		size += uint64(entries) * min(uint64(keySize+valueSize+64), most) * uint64(cpus)
	}
	for _, m := range maps {
		// The bytes of a ring buffer and the pages of an arena count as elements.
		add(m.MaxEntries(), m.KeySize(), m.ValueSize())
		if inner, err := m.InnerMapInfo(); err == nil {
			add(inner.MaxEntries, int(inner.KeySize), int(inner.ValueSize))
		}
		if size > most {
			return false
		}
	}
	return true
}

// What compilers make is taken, whatever is in it.
func TestAllObjectsAreTaken(t *testing.T) {
	for _, s := range fuzzSeeds() {
		if _, err := checkObject(s.image()); err != nil {
			t.Errorf("%s: %v", s.path, err)
		}
	}
}
