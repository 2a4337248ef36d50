//go:build cgo && linux

package libbpfgo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

/*
libbpf was written for objects that a compiler or its own linker produced: it checks most of what it reads from a file,
but not everything. This file checks the rest before libbpf gets the object, so that a damaged or malicious object is an
error. Each line names functions of libbpf 1.7.0 and what they assume. (Before 1.3, libbpf did not check BTF at all.)

ELF
  - bpf_object__elf_collect, elf_sec_by_name: a section that libbpf finds by name occurs once, and .maps has data in the
    file.
  - bpf_object__init_internal_map, array_map_mmap_sz: sizes of sections fit into 31 bits.
  - init_struct_ops_maps, create_jt_map, btf_fixup_datasec: a symbol lies in its section. They add in 32 bits.
  - bpf_object__relocate_data, bpf_core_patch_insn, poison_map_ldimm64: a 64-bit load isn't the last instruction of a
    function. They write to the instruction after it.
  - bpf_object__reloc_code: the number of functions in .text is limited. It follows calls by recursion.

BTF
  - btf_validate_type: the type that a function returns exists; offsets and sizes fit into 31 bits.
  - skip_mods_and_typedefs, bpf_core_fields_are_compat, btf__align_of, find_kcfg_type: no type contains or qualifies
    itself. They follow types in a loop without a limit, or by recursion.
  - __bpf_core_types_are_compat, __bpf_core_types_match, bpf_core_match_member: the nesting of types is limited. Their
    time grows with the size of the tree.
  - bpf_core_calc_field_relo: the type of a bit field has a size. It divides by it.
  - bpf_core_format_spec: there are bytes behind the last type. It reads them as an enumerator.
  - bpf_object__collect_externs: a DATASEC consists of variables, and .ksyms of variables and functions. It writes their
    linkage.
  - bpf_object__collect_externs, set_kcfg_value_tri: the variables of .kconfig together fit into 31 bits, and a
    tristate has 4 bytes.
  - bpf_core_parse_spec: the string that describes an access consists of non-negative numbers.

Maps
  - bpf_object__init_user_btf_map: no map of .maps is of type struct_ops. libbpf treats such a map like one of
    .struct_ops.
  - bpf_object__collect_st_ops_relos, bpf_map__init_kern_struct_ops: the members of a struct_ops type lie in it and
    aren't bit fields.
*/

// An objectFile is the parsed ELF file of a BPF object.
type objectFile struct {
	data     []byte
	sections []objectSection
	symtab   *objectSection
	// byName has the sections that libbpf finds by name. Each may occur once.
	byName map[string]*objectSection
	btf    *btfTypes
	// references is true if maps are initialized with references to maps or programs.
	references bool
	// relocatesTypes is true if there are CO-RE relocations.
	relocatesTypes bool
	// externs is the number of undefined symbols.
	externs int
}

type objectSection struct {
	name       string
	kind       elf.SectionType
	flags      elf.SectionFlag
	size       uint64
	link, info uint32
	entrySize  uint64
	data       []byte // nil if the section has no data in the file
}

// These limits are far above what the kernel accepts.
const (
	// maxFunctions limits the functions in .text. The kernel's limit is 256 for a program.
	maxFunctions = 1 << 14
	// maxTypeDepth limits how deep types are nested. The kernel's limit is 32 levels.
	maxTypeDepth = 256
	// maxTypeParts limits the number of types in the tree below a type.
	maxTypeParts = 1 << 20
	// maxStructOps limits the size in bytes of a struct_ops map.
	maxStructOps = 1 << 28
	// maxKconfig limits the size in bytes of the .kconfig map.
	maxKconfig = 1 << 30
)

// checkObject parses a BPF object. It returns an error if libbpf would misread the object.
func checkObject(image []byte) (*objectFile, error) {
	o := &objectFile{data: image, byName: make(map[string]*objectSection)}
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
			return fmt.Errorf("is no relocation table")
		}
		if o.sections[s.info].name == ".maps" || s.name == ".rel.maps" {
			o.references = true
		}
	}
	switch s.name {
	case ".BTF", ".BTF.ext", ".maps", ".text", "license", "version", ".addr_space.1", ".jumptables",
		".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link":
		if o.byName[s.name] != nil {
			return fmt.Errorf("is there twice")
		}
		if s.kind != elf.SHT_PROGBITS && (s.kind != elf.SHT_NOBITS || s.name == ".maps") {
			return fmt.Errorf("is of type %v", s.kind)
		}
		o.byName[s.name] = s
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
	s := o.byName[".BTF"]
	if s == nil {
		return nil
	}
	var err error
	if o.btf, err = checkBTF(s.data); err != nil {
		return fmt.Errorf("section .BTF: %w", err)
	}
	return nil
}

// checkBTFExt checks the CO-RE relocations. A malformed .BTF.ext is no error: libbpf ignores it.
func (o *objectFile) checkBTFExt() error {
	s := o.byName[".BTF.ext"]
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

// isAccess reports whether s consists of numbers separated by colons, each of which fits into a C int.
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

// checkMaps checks the variables in the DATASECs from which libbpf makes maps.
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

// checkKconfig checks a variable of .kconfig. For each undefined symbol, libbpf may add one such variable to the map,
// so the size limit is divided by their number.
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
