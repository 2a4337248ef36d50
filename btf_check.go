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

// btfTypes are the types of a BTF.
type btfTypes struct {
	data    []byte // the type section
	strings []byte
	// offsets has the start of each type in data, by id.
	offsets []uint32
	// sections are the ids of the DATASECs.
	sections []uint32
	// values and references have, by id, the extent of the tree of types that a type contains, and of the tree that it
	// refers to.
	values, references []btfExtent
}

// A btfExtent is the size of the tree below a type. depth is 0 before the tree is walked and negative during the walk.
type btfExtent struct {
	depth int16
	parts int32
}

// btfKind is the kind of a BTF type.
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

// btfTail describes, for each kind of type, what follows the first 12 bytes: size bytes, once or, if parts is true,
// for each of the type's parts (members, values, parameters, variables).
var btfTail = [...]struct {
	size  int
	parts bool
}{
	btfInt: {4, false}, btfPointer: {}, btfArray: {12, false}, btfStruct: {12, true}, btfUnion: {12, true}, btfEnum: {8, true},
	btfForward: {}, btfTypedef: {}, btfVolatile: {}, btfConst: {}, btfRestrict: {}, btfFunc: {}, btfFuncProto: {8, true},
	btfVar: {4, false}, btfDatasec: {12, true}, btfFloat: {}, btfDeclTag: {4, false}, btfTypeTag: {}, btfEnum64: {12, true},
}

// checkBTF parses and checks the content of a .BTF section or of a file with the kernel's BTF.
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

// checkBTFFile checks the kernel's BTF in file, which was opened at path.
func checkBTFFile(path string, file *os.File) error {
	if strings.HasPrefix(filepath.Clean(path), "/sys/kernel/btf/") {
		return nil // made by the kernel
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

// readBTF reads BTF as libbpf's btf__parse does: raw, or in a section of an ELF file.
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

// word returns the 4 bytes at an offset of a type: at 0 the offset of its name, at 4 its kind and number of parts, at
// 8 its size or the id of another type.
func (b *btfTypes) word(id uint32, at int) uint32 {
	return binary.NativeEndian.Uint32(b.data[int(b.offsets[id])+at:])
}

// kind returns the kind of a type. For void, whose id is 0, it returns 0.
func (b *btfTypes) kind(id uint32) btfKind {
	if id == 0 {
		return 0
	}
	return btfKind(b.word(id, 4) >> 24 & 31)
}

// parts returns a type's number of members, values, parameters or variables.
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
			return fmt.Errorf("is a function without a prototype")
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
				return fmt.Errorf("contains types other than variables")
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

// contained calls visit for the types that a type directly contains, until visit returns false.
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

// referred calls visit for the types that a type directly refers to, until visit returns false. It skips structs and
// unions.
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

// measure reports whether the tree below a type is finite and small enough to be walked, and records its extent in
// known. each is contained or referred.
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

// plain returns a type without its typedefs and qualifiers.
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

// sizeOf returns the size in bytes of a value of a type, or false if the type has no size.
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

// checkMap checks the definition of a map in .maps. It is a struct; its member "type" is a pointer to an array whose
// length is the map's type.
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

// slice returns size bytes of data from offset on, or false if data is shorter.
func slice(data []byte, offset, size uint64) ([]byte, bool) {
	if offset > uint64(len(data)) || size > uint64(len(data))-offset {
		return nil, false
	}
	return data[offset : offset+size], true
}

// stringAt returns the zero-terminated string at an offset of a table, or false if there is none.
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
