//go:build cgo && linux

package libbpfgo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

/*
libbpf was written for objects that a compiler or its own linker made: it checks most of what it finds in a file, but
not all. This file checks the rest, before libbpf gets the object, so that a damaged or malicious one is an error. These
are libbpf's assumptions (functions of libbpf 1.7.0; before 1.3, it checked nothing of BTF):

ELF
  - bpf_object__elf_collect, elf_sec_by_name: a section that libbpf knows by its name is there once, and .maps has data
    of its own.
  - bpf_object__init_internal_map, array_map_mmap_sz: sizes of sections fit into 31 bits.
  - init_struct_ops_maps, create_jt_map, btf_fixup_datasec: a symbol lies in its section. They add in 32 bits.
  - bpf_object__relocate_data, bpf_core_patch_insn, poison_map_ldimm64: a load of 64 bits isn't the last instruction of
    a function; they write the one after it.
  - bpf_object__reloc_code: it follows calls by recursion, so functions in .text are limited in number.

BTF
  - btf_validate_type: the type that a function returns exists; offsets and sizes fit into 31 bits.
  - skip_mods_and_typedefs, bpf_core_fields_are_compat, btf__align_of, find_kcfg_type: no type contains or qualifies
    itself. They follow types without end or by recursion.
  - __bpf_core_types_are_compat, __bpf_core_types_match, bpf_core_match_member: types aren't nested so that to walk
    them takes for ever.
  - bpf_core_calc_field_relo: a bit field has a type with a size, which it divides by.
  - bpf_core_format_spec: there are bytes behind the last type, which it takes for an enumerator.
  - bpf_object__collect_externs: a DATASEC consists of variables, .ksyms of functions as well. It writes their linkage.
  - bpf_object__collect_externs, set_kcfg_value_tri: the variables of .kconfig together fit into 31 bits, and a
    tristate has 4 bytes.
  - bpf_core_parse_spec: the string that describes an access consists of numbers that aren't negative.

Maps
  - bpf_object__init_user_btf_map: no map of .maps is of type struct_ops. libbpf takes it for one of .struct_ops.
  - bpf_object__collect_st_ops_relos, bpf_map__init_kern_struct_ops: what a struct_ops type consists of lies in it,
    and isn't a bit field.
*/

// An objectFile is the ELF file of a BPF object.
type objectFile struct {
	data     []byte
	sections []objectSection
	symtab   *objectSection
	// once are the sections that libbpf knows by their names.
	once map[string]*objectSection
	btf  *btfTypes
	// references is true if maps are initialized with references to maps or programs.
	references bool
	// relocatesTypes is true if there are CO-RE relocations.
	relocatesTypes bool
	// externs is how many symbols are defined elsewhere.
	externs int
}

type objectSection struct {
	name       string
	kind       elf.SectionType
	flags      elf.SectionFlag
	size       uint64
	link, info uint32
	entrySize  uint64
	data       []byte // nil if it has none in the file
}

// These limits are far above what the kernel loads.
const (
	// maxFunctions is how many functions may be in .text, of which a program can have 256.
	maxFunctions = 1 << 14
	// maxTypeDepth limits how deep types are nested. The kernel's limit is 32.
	maxTypeDepth = 256
	// maxTypeParts limits how many types a type consists of.
	maxTypeParts = 1 << 20
	// maxStructOps limits the size in bytes of a struct_ops map.
	maxStructOps = 1 << 28
	// maxKconfig limits the size in bytes of the .kconfig map.
	maxKconfig = 1 << 30
)

// checkObject returns the parts of a BPF object, or an error if libbpf would take it for an object that it isn't.
func checkObject(image []byte) (*objectFile, error) {
	o := &objectFile{data: image, once: make(map[string]*objectSection)}
	for _, check := range []func() error{o.readSections, o.checkSymbols, o.checkBTF, o.checkBTFExt, o.checkMaps} {
		if err := check(); err != nil {
			return nil, fmt.Errorf("%w: %w", err, LibbpfErrnoFormat)
		}
	}
	return o, nil
}

func (o *objectFile) readSections() error {
	image, order := o.data, binary.NativeEndian
	switch {
	case len(image) == 0:
		return fmt.Errorf("file is empty")
	case !bytes.HasPrefix(image, []byte(elf.ELFMAG)):
		return fmt.Errorf("not an ELF file")
	case len(image) < 64:
		return fmt.Errorf("truncated: ELF header has %d bytes", len(image))
	case int64(len(image)) > math.MaxInt32:
		return fmt.Errorf("larger than 2 GiB")
	}
	byteOrder := elf.ELFDATA2LSB
	if order.Uint16([]byte{0, 1}) == 1 {
		byteOrder = elf.ELFDATA2MSB
	}
	class, data := elf.Class(image[elf.EI_CLASS]), elf.Data(image[elf.EI_DATA])
	if class != elf.ELFCLASS64 || data != byteOrder {
		return fmt.Errorf("not a BPF object but %v, %v", class, data)
	}
	kind, machine := elf.Type(order.Uint16(image[16:])), elf.Machine(order.Uint16(image[18:]))
	if kind != elf.ET_REL || machine != elf.EM_BPF && machine != elf.EM_NONE {
		return fmt.Errorf("not a BPF object but %v, %v, %v", class, machine, kind)
	}
	table, entry, count := order.Uint64(image[40:]), order.Uint16(image[58:]), order.Uint16(image[60:])
	if entry != 64 || count == 0 {
		return fmt.Errorf("%d sections with headers of %d bytes", count, entry)
	}
	headers, ok := slice(image, table, uint64(count)*64)
	if !ok {
		return fmt.Errorf("truncated: headers of sections end at byte %d of %d", table+uint64(count)*64, len(image))
	}
	names := order.Uint16(image[62:])
	if names >= count {
		return fmt.Errorf("names of sections are in section %d of %d", names, count)
	}

	o.sections = make([]objectSection, count)
	for i := range o.sections {
		s, header := &o.sections[i], headers[i*64:]
		s.kind, s.flags = elf.SectionType(order.Uint32(header[4:])), elf.SectionFlag(order.Uint64(header[8:]))
		s.size = order.Uint64(header[32:])
		s.link, s.info, s.entrySize = order.Uint32(header[40:]), order.Uint32(header[44:]), order.Uint64(header[56:])
		if s.size > math.MaxInt32 {
			return fmt.Errorf("section %d has %d bytes", i, s.size)
		}
		if s.kind == elf.SHT_NULL || s.kind == elf.SHT_NOBITS {
			continue
		}
		offset := order.Uint64(header[24:])
		if s.data, ok = slice(image, offset, s.size); !ok {
			return fmt.Errorf("truncated: section %d ends at byte %d of %d", i, offset+s.size, len(image))
		}
	}
	for i := range o.sections {
		if o.sections[i].name, ok = stringAt(o.sections[names].data, order.Uint32(headers[i*64:])); !ok {
			return fmt.Errorf("section %d has no name", i)
		}
	}
	for i := range o.sections {
		s := &o.sections[i]
		if err := o.checkSection(s); err != nil {
			return fmt.Errorf("section %q %w", s.name, err)
		}
	}
	if o.symtab == nil {
		return fmt.Errorf("no symbol table")
	}
	return nil
}

func (o *objectFile) checkSection(s *objectSection) error {
	switch s.kind {
	case elf.SHT_SYMTAB:
		if o.symtab != nil {
			return fmt.Errorf("is a second symbol table")
		}
		if s.entrySize != elf.Sym64Size || s.size%elf.Sym64Size != 0 || int(s.link) >= len(o.sections) {
			return fmt.Errorf("is no symbol table")
		}
		o.symtab = s
	case elf.SHT_REL:
		if s.entrySize != 16 || s.size%16 != 0 || int(s.info) >= len(o.sections) {
			return fmt.Errorf("has no relocations")
		}
		if o.sections[s.info].name == ".maps" || s.name == ".rel.maps" {
			o.references = true
		}
	}
	switch s.name {
	case ".BTF", ".BTF.ext", ".maps", ".text", "license", "version", ".addr_space.1", ".jumptables",
		".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link":
		if o.once[s.name] != nil {
			return fmt.Errorf("is there twice")
		}
		if s.kind != elf.SHT_PROGBITS && (s.kind != elf.SHT_NOBITS || s.name == ".maps") {
			return fmt.Errorf("is of type %v", s.kind)
		}
		o.once[s.name] = s
	}
	return nil
}

func (o *objectFile) checkSymbols() error {
	order := binary.NativeEndian
	names := o.sections[o.symtab.link].data
	functions := 0
	for i := 0; i < len(o.symtab.data); i += elf.Sym64Size {
		symbol := o.symtab.data[i:]
		index := elf.SectionIndex(order.Uint16(symbol[6:]))
		if index == elf.SHN_UNDEF {
			o.externs++
			continue
		}
		if index >= elf.SHN_LORESERVE {
			continue
		}
		fail := func(format string, values ...any) error {
			name, _ := stringAt(names, order.Uint32(symbol))
			return fmt.Errorf("symbol %d, %q, "+format, append([]any{i / elf.Sym64Size, name}, values...)...)
		}
		if int(index) >= len(o.sections) {
			return fail("is in section %d of %d", index, len(o.sections))
		}
		s := &o.sections[index]
		value, size := order.Uint64(symbol[8:]), order.Uint64(symbol[16:])
		if value > s.size || size > s.size-value {
			return fail("lies outside of section %q", s.name)
		}
		if elf.ST_TYPE(symbol[4]) != elf.STT_FUNC || s.flags&elf.SHF_EXECINSTR == 0 || size < 8 || s.data == nil {
			continue
		}
		const load64 = 0x18 // BPF_LD | BPF_IMM | BPF_DW
		if s.data[value+size-8] == load64 {
			return fail("ends in the middle of an instruction")
		}
		if s.name == ".text" {
			if functions++; functions > maxFunctions {
				return fail("is one of too many functions")
			}
		}
	}
	return nil
}

func (o *objectFile) checkBTF() error {
	s := o.once[".BTF"]
	if s == nil {
		return nil
	}
	var err error
	if o.btf, err = checkBTF(s.data); err != nil {
		return fmt.Errorf("section .BTF: %w", err)
	}
	return nil
}

// checkBTFExt checks CO-RE relocations. If .BTF.ext isn't what it should be, libbpf does without it.
func (o *objectFile) checkBTFExt() error {
	s := o.once[".BTF.ext"]
	if s == nil || o.btf == nil || len(s.data) < 32 {
		return nil
	}
	order, data := binary.NativeEndian, s.data
	if order.Uint16(data) != btfMagic {
		return fmt.Errorf("section .BTF.ext: not of this machine's byte order")
	}
	length := uint64(order.Uint32(data[4:]))
	if length < 32 {
		return nil
	}
	records, ok := slice(data, length+uint64(order.Uint32(data[24:])), uint64(order.Uint32(data[28:])))
	if !ok || len(records) < 4 {
		return nil
	}
	size := int(order.Uint32(records))
	if size < 16 || size > len(data) {
		return nil
	}
	o.relocatesTypes = true
	for records = records[4:]; len(records) >= 8; {
		count := order.Uint32(records[4:])
		records = records[8:]
		for ; count > 0 && len(records) >= size; count-- {
			access, _ := stringAt(o.btf.strings, order.Uint32(records[8:]))
			if !isAccess(access) {
				return fmt.Errorf("section .BTF.ext: access %q to type %d", access, order.Uint32(records[4:]))
			}
			records = records[size:]
		}
	}
	return nil
}

// isAccess reports whether s consists of numbers that fit into an int of C, with colons between them.
func isAccess(s string) bool {
	number := uint64(0)
	for i := range len(s) {
		switch c := s[i]; {
		case c == ':':
			number = 0
		case c >= '0' && c <= '9':
			if number = 10*number + uint64(c-'0'); number > math.MaxInt32 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// checkMaps checks what the DATASECs describe that libbpf makes maps of.
func (o *objectFile) checkMaps() error {
	if o.btf == nil {
		return nil
	}
	for _, id := range o.btf.sections {
		var check func(variable uint32) error
		name := o.btf.name(id)
		switch strings.TrimPrefix(name, "?") {
		case ".maps":
			check = o.btf.checkMap
		case ".struct_ops", ".struct_ops.link":
			check = o.btf.checkStructOps
		case ".kconfig":
			check = o.checkKconfig
		default:
			continue
		}
		for _, variable := range o.btf.variables(id) {
			if err := check(variable); err != nil {
				return fmt.Errorf("%s: variable %q %w", name, o.btf.name(variable), err)
			}
		}
	}
	return nil
}

// checkKconfig checks a variable of .kconfig. libbpf makes at most one copy of it for each symbol that is defined elsewhere.
func (o *objectFile) checkKconfig(variable uint32) error {
	b := o.btf
	size, _ := b.sizeOf(variable)
	if size > maxKconfig/uint64(o.externs+1) {
		return fmt.Errorf("has %d bytes", size)
	}
	if t := b.plain(b.word(variable, 8)); b.kind(t) == btfEnum64 && size < 4 {
		return fmt.Errorf("is an enumeration of %d bytes", size)
	}
	return nil
}

// btfTypes are the types of BTF, each checked by itself.
type btfTypes struct {
	data    []byte // of types
	strings []byte
	// offsets is where the type of each id begins.
	offsets []uint32
	// sections are the DATASECs.
	sections []uint32
	// values and references are what is known of the types that each type contains, and that it refers to.
	values, references []btfExtent
}

// A btfExtent is how large the tree is below a type. While the tree is walked, its depth is negative.
type btfExtent struct {
	depth int16
	parts int32
}

// The kinds of BTF's types.
type btfKind uint8

const (
	btfInt btfKind = iota + 1
	btfPointer
	btfArray
	btfStruct
	btfUnion
	btfEnum
	btfForward
	btfTypedef
	btfVolatile
	btfConst
	btfRestrict
	btfFunc
	btfFuncProto
	btfVar
	btfDatasec
	btfFloat
	btfDeclTag
	btfTypeTag
	btfEnum64
)

const btfMagic = 0xeb9f

// btfTail is the size in bytes of what follows the 12 bytes that each kind of type begins with: as many times as the
// type says, if it is one of those that have a number of parts.
var btfTail = [...]struct {
	size  int
	parts bool
}{
	btfInt: {4, false}, btfPointer: {}, btfArray: {12, false}, btfStruct: {12, true}, btfUnion: {12, true}, btfEnum: {8, true},
	btfForward: {}, btfTypedef: {}, btfVolatile: {}, btfConst: {}, btfRestrict: {}, btfFunc: {}, btfFuncProto: {8, true},
	btfVar: {4, false}, btfDatasec: {12, true}, btfFloat: {}, btfDeclTag: {4, false}, btfTypeTag: {}, btfEnum64: {12, true},
}

// checkBTF checks the content of a .BTF section or of a file with the kernel's types.
func checkBTF(data []byte) (*btfTypes, error) {
	order := binary.NativeEndian
	if len(data) < 24 || order.Uint16(data) != btfMagic {
		return nil, fmt.Errorf("not BTF of this machine's byte order")
	}
	length := uint64(order.Uint32(data[4:]))
	typesAt, typesSize := uint64(order.Uint32(data[8:])), uint64(order.Uint32(data[12:]))
	stringsAt, stringsSize := uint64(order.Uint32(data[16:])), uint64(order.Uint32(data[20:]))
	body, ok := slice(data, length, uint64(len(data))-length)
	if !ok || length < 24 || typesAt%4 != 0 || typesAt+typesSize > stringsAt {
		return nil, fmt.Errorf("corrupt header")
	}
	b := new(btfTypes)
	if b.strings, ok = slice(body, stringsAt, stringsSize); !ok {
		return nil, fmt.Errorf("truncated: strings end at byte %d of %d", stringsAt+stringsSize, len(body))
	}
	if stringsSize == 0 || b.strings[0] != 0 || b.strings[stringsSize-1] != 0 {
		return nil, fmt.Errorf("corrupt strings")
	}
	b.data = body[typesAt : typesAt+typesSize]

	b.offsets = make([]uint32, 1, 1+len(b.data)/16)
	for at := 0; at < len(b.data); {
		if len(b.data)-at < 12 {
			return nil, fmt.Errorf("truncated types")
		}
		info := order.Uint32(b.data[at+4:])
		kind := btfKind(info >> 24 & 31)
		if kind == 0 || int(kind) >= len(btfTail) {
			return nil, fmt.Errorf("type %d is of unknown kind %d", len(b.offsets), kind)
		}
		b.offsets = append(b.offsets, uint32(at))
		if kind == btfDatasec {
			b.sections = append(b.sections, uint32(len(b.offsets)-1))
		}
		size := btfTail[kind].size
		if btfTail[kind].parts {
			size *= int(info & 0xffff)
		}
		if at += 12 + size; at > len(b.data) {
			return nil, fmt.Errorf("truncated types")
		}
	}
	if len(b.data) > 0 && len(body)-int(typesAt+typesSize) < 12 {
		return nil, fmt.Errorf("fewer than 12 bytes behind the types")
	}

	b.values, b.references = make([]btfExtent, len(b.offsets)), make([]btfExtent, len(b.offsets))
	for id := uint32(1); int(id) < len(b.offsets); id++ {
		if err := b.check(id); err != nil {
			return nil, fmt.Errorf("type %d, %q, %w", id, b.name(id), err)
		}
	}
	for id := uint32(1); int(id) < len(b.offsets); id++ {
		if !b.measure(b.values, id, b.contained, 0) || !b.measure(b.references, id, b.referred, 0) {
			return nil, fmt.Errorf("type %d, %q, is nested too deep or in itself", id, b.name(id))
		}
	}
	return b, nil
}

// checkBTFFile checks the kernel's types in the file that was opened at path.
func checkBTFFile(path string, file *os.File) error {
	if strings.HasPrefix(filepath.Clean(path), "/sys/kernel/btf/") {
		return nil // the kernel made it
	}
	data, err := readBTF(file)
	if err != nil {
		return err
	}
	if _, err := checkBTF(data); err != nil {
		return fmt.Errorf("%w: %w", err, LibbpfErrnoFormat)
	}
	return nil
}

// readBTF reads BTF as libbpf's btf__parse does: by itself, or in a section of an ELF file.
func readBTF(file *os.File) ([]byte, error) {
	image, err := elf.NewFile(file)
	if format := (*elf.FormatError)(nil); errors.As(err, &format) || errors.Is(err, io.EOF) {
		return readAtMost(io.NewSectionReader(file, 0, math.MaxInt64), maxBTFSize)
	}
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, s := range image.Sections {
		if s.Name != ".BTF" && s.Name != ".BTF.base" {
			continue
		}
		if data != nil || s.Name != ".BTF" || s.Flags&elf.SHF_COMPRESSED != 0 {
			return nil, fmt.Errorf("section %q: more than the types of a kernel: %w", s.Name, LibbpfErrnoFormat)
		}
		if data, err = s.Data(); err != nil {
			return nil, fmt.Errorf("section .BTF: %w: %w", err, LibbpfErrnoFormat)
		}
	}
	if data == nil {
		return nil, fmt.Errorf("no section .BTF: %w", syscall.ENODATA)
	}
	return data, nil
}

// word returns a field of 4 bytes of a type: 0 is the name's offset, 4 the kind and the number of parts, 8 the size or
// the id of a type.
func (b *btfTypes) word(id uint32, at int) uint32 {
	return binary.NativeEndian.Uint32(b.data[int(b.offsets[id])+at:])
}

// kind returns the kind of a type; 0 for void, whose id is 0.
func (b *btfTypes) kind(id uint32) btfKind {
	if id == 0 {
		return 0
	}
	return btfKind(b.word(id, 4) >> 24 & 31)
}

// parts returns how many members, parameters and the like a type has.
func (b *btfTypes) parts(id uint32) int {
	return int(b.word(id, 4) & 0xffff)
}

func (b *btfTypes) name(id uint32) string {
	if id == 0 {
		return ""
	}
	name, _ := stringAt(b.strings, b.word(id, 0))
	return name
}

// check checks the fields of a type.
func (b *btfTypes) check(id uint32) error {
	types, names := uint32(len(b.offsets)), uint32(len(b.strings))
	refersTo := func(at int) error {
		if other := b.word(id, at); other >= types {
			return fmt.Errorf("refers to type %d of %d", other, types)
		}
		return nil
	}
	if b.word(id, 0) >= names {
		return fmt.Errorf("has a name at byte %d of %d", b.word(id, 0), names)
	}
	kind := b.kind(id)
	switch kind {
	case btfInt, btfStruct, btfUnion, btfEnum, btfDatasec, btfFloat, btfEnum64:
		if size := b.word(id, 8); size > math.MaxInt32 {
			return fmt.Errorf("has %d bytes", size)
		}
	case btfPointer, btfTypedef, btfVolatile, btfConst, btfRestrict, btfFunc, btfFuncProto, btfVar, btfDeclTag, btfTypeTag:
		if err := refersTo(8); err != nil {
			return err
		}
		if kind == btfFunc && b.kind(b.word(id, 8)) != btfFuncProto {
			return fmt.Errorf("is a function of no prototype")
		}
	case btfArray:
		if err := refersTo(12); err != nil {
			return err
		}
		return refersTo(16)
	}
	if !btfTail[kind].parts {
		return nil
	}
	size := btfTail[kind].size
	for part, at := 0, 12; part < b.parts(id); part, at = part+1, at+size {
		typeAt := at + 4
		if kind == btfDatasec {
			typeAt = at
		} else if b.word(id, at) >= names {
			return fmt.Errorf("has a part with a name at byte %d of %d", b.word(id, at), names)
		}
		if kind == btfEnum || kind == btfEnum64 {
			continue
		}
		if err := refersTo(typeAt); err != nil {
			return err
		}
		switch other := b.word(id, typeAt); kind {
		case btfStruct, btfUnion:
			if b.bitField(id, at) && !b.isNumber(other) {
				return fmt.Errorf("has a bit field without a size")
			}
		case btfDatasec:
			if kind := b.kind(other); kind != btfVar && (kind != btfFunc || b.name(id) != ".ksyms") {
				return fmt.Errorf("consists of others than variables")
			}
			if b.word(id, at+4) > math.MaxInt32 || b.word(id, at+8) > math.MaxInt32 {
				return fmt.Errorf("has a variable of %d bytes at %d", b.word(id, at+8), b.word(id, at+4))
			}
		}
	}
	return nil
}

// bitField reports whether the member at an offset of a struct or union is a bit field.
func (b *btfTypes) bitField(id uint32, at int) bool {
	return b.word(id, 4)>>31 != 0 && b.word(id, at+8)>>24 != 0
}

// isNumber reports whether a type is an integer or an enumeration and has a size.
func (b *btfTypes) isNumber(id uint32) bool {
	for range maxTypeDepth {
		switch b.kind(id) {
		case btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag:
			if id = b.word(id, 8); int(id) >= len(b.offsets) {
				return false
			}
		case btfInt, btfEnum, btfEnum64:
			return b.word(id, 8) > 0
		default:
			return false
		}
	}
	return false
}

// contained calls visit with the types that a type consists of.
func (b *btfTypes) contained(id uint32, visit func(uint32) bool) bool {
	switch b.kind(id) {
	case btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag:
		return visit(b.word(id, 8))
	case btfArray:
		return visit(b.word(id, 12))
	case btfStruct, btfUnion:
		for part := range b.parts(id) {
			if !visit(b.word(id, 12+12*part+4)) {
				return false
			}
		}
	}
	return true
}

// referred calls visit with the types that a type which isn't a struct or union refers to.
func (b *btfTypes) referred(id uint32, visit func(uint32) bool) bool {
	switch b.kind(id) {
	case btfPointer, btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag:
		return visit(b.word(id, 8))
	case btfArray:
		return visit(b.word(id, 12))
	case btfFuncProto:
		for part := range b.parts(id) {
			if !visit(b.word(id, 12+8*part+4)) {
				return false
			}
		}
		return visit(b.word(id, 8))
	}
	return true
}

// measure reports whether the tree below a type has an end and is of a size to be walked, and records it.
func (b *btfTypes) measure(known []btfExtent, id uint32, each func(uint32, func(uint32) bool) bool, depth int) bool {
	if known[id].depth > 0 {
		return true
	}
	if known[id].depth < 0 || depth > maxTypeDepth {
		return false
	}
	known[id].depth = -1
	extent := btfExtent{depth: 1, parts: 1}
	ok := each(id, func(other uint32) bool {
		if other == 0 {
			return true
		}
		if !b.measure(known, other, each, depth+1) {
			return false
		}
		extent.depth = max(extent.depth, known[other].depth+1)
		extent.parts += known[other].parts
		return extent.depth <= maxTypeDepth && extent.parts <= maxTypeParts
	})
	known[id] = extent
	return ok
}

// plain returns the type that is qualified or named by a type.
func (b *btfTypes) plain(id uint32) uint32 {
	for {
		switch b.kind(id) {
		case btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag:
			id = b.word(id, 8)
		default:
			return id
		}
	}
}

// sizeOf returns the size in bytes of what has a type; false if it has none.
func (b *btfTypes) sizeOf(id uint32) (uint64, bool) {
	elements := uint64(1)
	for range maxTypeDepth {
		switch b.kind(id) {
		case btfInt, btfStruct, btfUnion, btfEnum, btfFloat, btfEnum64:
			return elements * uint64(b.word(id, 8)), true
		case btfPointer:
			return elements * 8, true
		case btfArray:
			if elements *= uint64(b.word(id, 20)); elements > math.MaxInt32 {
				return math.MaxInt32, false
			}
			id = b.word(id, 12)
		case btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag, btfVar:
			id = b.word(id, 8)
		default:
			return 0, false
		}
	}
	return 0, false
}

// variables returns the variables of a DATASEC.
func (b *btfTypes) variables(id uint32) []uint32 {
	list := make([]uint32, b.parts(id))
	for i := range list {
		list[i] = b.word(id, 12+12*i)
	}
	return list
}

// checkMap checks the definition of a map in .maps: a struct with a member that points to an array, whose length is the
// map's type.
func (b *btfTypes) checkMap(variable uint32) error {
	def := b.plain(b.word(variable, 8))
	if b.kind(def) != btfStruct {
		return nil
	}
	for part := range b.parts(def) {
		name, _ := stringAt(b.strings, b.word(def, 12+12*part))
		pointer := b.plain(b.word(def, 12+12*part+4))
		if name != "type" || b.kind(pointer) != btfPointer {
			continue
		}
		if array := b.word(pointer, 8); b.kind(array) == btfArray && MapType(b.word(array, 20)) == MapTypeStructOps {
			return fmt.Errorf("is of type struct_ops, which is a section of its own")
		}
	}
	return nil
}

// checkStructOps checks the type of a struct_ops map.
func (b *btfTypes) checkStructOps(variable uint32) error {
	id := b.plain(b.word(variable, 8))
	if b.kind(id) != btfStruct {
		return nil
	}
	whole := uint64(b.word(id, 8))
	if whole > maxStructOps {
		return fmt.Errorf("has %d bytes", whole)
	}
	for part := range b.parts(id) {
		at := 12 + 12*part
		name, _ := stringAt(b.strings, b.word(id, at))
		if b.bitField(id, at) {
			return fmt.Errorf("has the member %q, a bit field, which struct_ops can't have", name)
		}
		size, _ := b.sizeOf(b.word(id, at+4))
		if offset := uint64(b.word(id, at+8)) / 8; offset > whole || size > whole-offset {
			return fmt.Errorf("has the member %q outside of it", name)
		}
	}
	return nil
}

// slice returns size bytes of data from offset on; false if it has less.
func slice(data []byte, offset, size uint64) ([]byte, bool) {
	if offset > uint64(len(data)) || size > uint64(len(data))-offset {
		return nil, false
	}
	return data[offset : offset+size], true
}

// stringAt returns the string that begins at an offset of a table; false if there is none.
func stringAt(table []byte, offset uint32) (string, bool) {
	if uint64(offset) >= uint64(len(table)) {
		return "", false
	}
	end := bytes.IndexByte(table[offset:], 0)
	if end < 0 {
		return "", false
	}
	return string(table[offset : int(offset)+end]), true
}
