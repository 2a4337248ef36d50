//go:build cgo && linux

package libbpfgo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Uprobes and static tracepoints are attached to files that may come from anybody, and may be written to at the same
// time. libbpf 1.7.0 maps such a file (elf_open) and trusts it. These faults kill or hang the process: libbpf divides
// by an sh_entsize of 0 (elf_sym_iter_new); follows a version definition that refers to itself (elf_get_vername);
// reads beyond the arguments of a tracepoint that have no end (parse_usdt_note) or no closing bracket
// (parse_usdt_arg); and gets SIGBUS if another process truncates the file.
//
// So this file looks up functions itself, by libbpf's rules. It reads the target file and never maps it, and passes
// the functions' offsets to libbpf. Static tracepoints must be looked up by libbpf: their file is checked first, and
// protected from changes by a lease.

const (
	pageSize    = 4096
	cachedPages = 1024
	pageCost    = 512 // bytes by which reading a page counts towards maxWork

	// maxWork limits the bytes of one target that are read. The symbols of the largest programs need a fifth of it.
	maxWork = 1 << 30
	// maxName limits the length of function names that are compared with a pattern.
	maxName = 1 << 20
	// maxMatches limits the functions that match a pattern. It is the kernel's limit (MAX_UPROBE_MULTI_CNT).
	maxMatches = 1 << 20
	// maxSegments limits the size of the program headers, like execve(2).
	maxSegments = 1 << 16
	// maxTable limits the size of the section names, and of the notes of static tracepoints.
	maxTable = 16 << 20
)

// damaged returns the error for a malformed file.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), LibbpfErrnoFormat)
}

// nativeClass is the ELF class of this process.
const nativeClass = elf.Class(unsafe.Sizeof(uintptr(0)) / 4)

// An image is a file or a part of a file. It is read through a cache, and the total amount is limited.
type image struct {
	file         io.ReaderAt
	offset, size uint64
	left         int // remaining bytes of maxWork
	pages        [cachedPages]page
	buf, name    []byte
}

type page struct {
	offset uint64
	data   []byte
}

func newImage(file *os.File) (*image, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return &image{file: file, size: uint64(info.Size()), left: maxWork}, nil
}

// at returns the n bytes at an offset. They are valid until the next call.
func (i *image) at(offset uint64, n int) ([]byte, error) {
	if offset > i.size || uint64(n) > i.size-offset {
		return nil, damaged("%d bytes at offset %d are expected in a file of %d bytes", n, offset, i.size)
	}
	if err := i.spend(n); err != nil {
		return nil, err
	}
	offset += i.offset
	i.buf = i.buf[:0]
	for {
		p, err := i.page(offset / pageSize * pageSize)
		if err != nil {
			return nil, err
		}
		start := int(offset % pageSize)
		end := min(start+n-len(i.buf), pageSize)
		if end > len(p) {
			return nil, damaged("file was truncated")
		}
		if end-start == n {
			return p[start:end], nil
		}
		i.buf = append(i.buf, p[start:end]...)
		if len(i.buf) == n {
			return i.buf, nil
		}
		offset += uint64(end - start)
	}
}

func (i *image) spend(n int) error {
	if i.left -= n; i.left < 0 {
		return fmt.Errorf("more than %d bytes have to be looked at: %w", maxWork, syscall.EFBIG)
	}
	return nil
}

func (i *image) page(offset uint64) ([]byte, error) {
	p := &i.pages[offset/pageSize%cachedPages]
	if p.data != nil && p.offset == offset {
		return p.data, nil
	}
	if err := i.spend(pageCost); err != nil {
		return nil, err
	}
	buf := p.data[:cap(p.data)]
	if buf == nil {
		buf = make([]byte, pageSize)
	}
	p.data = nil
	n, err := i.file.ReadAt(buf, int64(offset))
	if err != nil && err != io.EOF {
		return nil, err
	}
	p.offset, p.data = offset, buf[:n]
	return p.data, nil
}

// text returns the string at an offset of a table that ends at end, or its first limit bytes. The result is valid
// until the next call.
func (i *image) text(offset, end uint64, limit int) ([]byte, error) {
	i.name = i.name[:0]
	for len(i.name) < limit {
		if offset >= end {
			return nil, damaged("a name doesn't end in its table")
		}
		n := int(min(64, uint64(limit-len(i.name)), end-offset))
		part, err := i.at(offset, n)
		if err != nil {
			return nil, err
		}
		if zero := bytes.IndexByte(part, 0); zero >= 0 {
			i.name = append(i.name, part[:zero]...)
			return i.name, nil
		}
		i.name = append(i.name, part...)
		offset += uint64(n)
	}
	return i.name, nil
}

// enterArchive narrows the image from a zip archive to the file of that name in it. As in libbpf (zip.c), the file
// must be stored uncompressed.
func (i *image) enterArchive(name string) error {
	const (
		endSize, endMagic     = 22, 0x06054b50
		entrySize, entryMagic = 46, 0x02014b50
		localSize, localMagic = 30, 0x04034b50
		encryptedOrUnsized    = 1<<0 | 1<<3
	)
	var end []byte
	le := binary.LittleEndian
	for comment := uint64(0); ; comment++ {
		if comment > 0xffff || i.size < endSize+comment {
			return fmt.Errorf("not a zip archive: %w", syscall.EINVAL)
		}
		b, err := i.at(i.size-endSize-comment, endSize)
		if err != nil {
			return err
		}
		if le.Uint32(b) == endMagic && uint64(le.Uint16(b[20:])) == comment {
			end = b
			break
		}
	}
	count := le.Uint16(end[8:])
	if le.Uint32(end[4:]) != 0 || le.Uint16(end[10:]) != count {
		return fmt.Errorf("archive of several files, or a zip64 one: %w", syscall.ENOTSUP)
	}
	offset := uint64(le.Uint32(end[16:]))
	for ; count > 0; count-- {
		entry, err := i.at(offset, entrySize)
		if err != nil {
			return err
		}
		if le.Uint32(entry) != entryMagic {
			return damaged("archive has no entry at offset %d", offset)
		}
		flags, nameSize, local := le.Uint16(entry[8:]), int(le.Uint16(entry[28:])), uint64(le.Uint32(entry[42:]))
		next := offset + entrySize + uint64(nameSize) + uint64(le.Uint16(entry[30:])) + uint64(le.Uint16(entry[32:]))
		found, err := i.at(offset+entrySize, nameSize)
		if err != nil {
			return err
		}
		if flags&encryptedOrUnsized != 0 || string(found) != name {
			offset = next
			continue
		}
		b, err := i.at(local, localSize)
		if err != nil {
			return err
		}
		if le.Uint32(b) != localMagic {
			return damaged("archive has no file at offset %d", local)
		}
		if le.Uint16(b[6:])&encryptedOrUnsized != 0 || le.Uint16(b[8:]) != 0 {
			return damaged("file %q is compressed or encrypted", name)
		}
		data := local + localSize + uint64(le.Uint16(b[26:])) + uint64(le.Uint16(b[28:]))
		size := uint64(le.Uint32(b[18:]))
		if data > i.size || size > i.size-data {
			return damaged("file %q is truncated", name)
		}
		i.offset, i.size = data, size
		return nil
	}
	return fmt.Errorf("archive has no file %q: %w", name, syscall.ENOENT)
}

// A target is an ELF file of any class and byte order.
type target struct {
	*image
	order    binary.ByteOrder
	header   elf.Header64
	class    elf.Class
	sections []elf.Section64
}

func readAs[T any](t *target, offset uint64) (v T, err error) {
	b, err := t.at(offset, binary.Size(v))
	if err == nil {
		_, err = binary.Decode(b, t.order, &v)
	}
	return v, err
}

// newTarget reads the headers of an ELF file and of its sections.
func newTarget(i *image) (*target, error) {
	ident, err := i.at(0, elf.EI_NIDENT)
	if err != nil || !bytes.HasPrefix(ident, []byte(elf.ELFMAG)) {
		return nil, damaged("not an ELF file")
	}
	t := &target{image: i, class: elf.Class(ident[elf.EI_CLASS]), order: binary.LittleEndian}
	if elf.Data(ident[elf.EI_DATA]) == elf.ELFDATA2MSB {
		t.order = binary.BigEndian
	}
	var sectionSize int
	switch t.class {
	case elf.ELFCLASS64:
		t.header, err = readAs[elf.Header64](t, 0)
		sectionSize = binary.Size(elf.Section64{})
	case elf.ELFCLASS32:
		var h elf.Header32
		h, err = readAs[elf.Header32](t, 0)
		t.header = elf.Header64{
			Ident: h.Ident, Type: h.Type, Phoff: uint64(h.Phoff), Phentsize: h.Phentsize, Phnum: h.Phnum,
			Shoff: uint64(h.Shoff), Shentsize: h.Shentsize, Shnum: h.Shnum, Shstrndx: h.Shstrndx,
		}
		sectionSize = binary.Size(elf.Section32{})
	default:
		return nil, damaged("ELF file of class %d", ident[elf.EI_CLASS])
	}
	if err != nil {
		return nil, err
	}
	h := &t.header
	if h.Shoff == 0 {
		return t, nil
	}
	if h.Shnum == 0 || int(h.Shentsize) != sectionSize {
		return nil, damaged("%d section headers of %d bytes", h.Shnum, h.Shentsize)
	}
	for n := range uint64(h.Shnum) {
		offset := h.Shoff + n*uint64(sectionSize)
		var s elf.Section64
		if t.class == elf.ELFCLASS64 {
			s, err = readAs[elf.Section64](t, offset)
		} else {
			var s32 elf.Section32
			s32, err = readAs[elf.Section32](t, offset)
			s = elf.Section64{
				Name: s32.Name, Type: s32.Type, Flags: uint64(s32.Flags), Addr: uint64(s32.Addr), Off: uint64(s32.Off),
				Size: uint64(s32.Size), Link: s32.Link, Addralign: uint64(s32.Addralign), Entsize: uint64(s32.Entsize),
			}
		}
		if err != nil {
			return nil, err
		}
		t.sections = append(t.sections, s)
	}
	return t, nil
}

// first returns the first section of a type, or nil if there is none.
func (t *target) first(kind elf.SectionType) (*elf.Section64, error) {
	for n := range t.sections {
		if s := &t.sections[n]; elf.SectionType(s.Type) == kind {
			return s, t.check(s)
		}
	}
	return nil, nil
}

// check returns an error unless a section's content is in the file, uncompressed.
func (t *target) check(s *elf.Section64) error {
	if s.Off > t.size || s.Size > t.size-s.Off || elf.SectionFlag(s.Flags)&elf.SHF_COMPRESSED != 0 {
		return damaged("section of %d bytes at offset %d is compressed or not in the file of %d bytes", s.Size, s.Off, t.size)
	}
	return nil
}

// strings returns the string table with that section index.
func (t *target) strings(index uint32) (*elf.Section64, error) {
	if uint64(index) >= uint64(len(t.sections)) || elf.SectionType(t.sections[index].Type) != elf.SHT_STRTAB {
		return nil, damaged("section %d is no string table", index)
	}
	s := &t.sections[index]
	return s, t.check(s)
}

// A function is the symbol of a function that is defined in the file.
type function struct {
	index        uint64 // in its symbol table
	name, strEnd uint64 // offset of its name, and the end of the table of names
	offset       uint64 // of the function in the file
	weak         bool
}

// functions calls visit for each function in the first symbol table of a type.
func (t *target) functions(kind elf.SectionType, visit func(function) error) error {
	table, err := t.first(kind)
	if table == nil || err != nil {
		return err
	}
	size := uint64(elf.Sym64Size)
	if t.class == elf.ELFCLASS32 {
		size = elf.Sym32Size
	}
	if table.Entsize != size || table.Size%size != 0 {
		return damaged("symbol table of %d bytes has entries of %d bytes", table.Size, table.Entsize)
	}
	names, err := t.strings(table.Link)
	if err != nil {
		return err
	}
	for index := range table.Size / size {
		b, err := t.at(table.Off+index*size, int(size))
		if err != nil {
			return err
		}
		var value uint64
		info, section := b[4], t.order.Uint16(b[6:])
		if t.class == elf.ELFCLASS64 {
			value = t.order.Uint64(b[8:])
		} else {
			value = uint64(t.order.Uint32(b[4:]))
			info, section = b[12], t.order.Uint16(b[14:])
		}
		if elf.ST_TYPE(info) != elf.STT_FUNC || section == 0 || int(section) >= len(t.sections) {
			continue
		}
		in := &t.sections[section]
		err = visit(function{
			index:  index,
			name:   names.Off + uint64(t.order.Uint32(b)),
			strEnd: names.Off + names.Size,
			offset: t.offset + value - in.Addr + in.Off,
			weak:   elf.ST_BIND(info) == elf.STB_WEAK,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A choice selects one of several functions of the same name.
type choice struct {
	offset uint64 // 0 before there is one
	weak   bool
}

// add considers a function. A function that isn't weak is preferred to weak ones, and the first weak one to other weak
// ones. add returns false if two functions that aren't weak are at different offsets.
func (c *choice) add(f function) bool {
	switch {
	case int64(f.offset) <= 0 || f.offset == c.offset:
	case c.offset != 0 && !c.weak && !f.weak:
		return false
	case c.offset == 0 || !f.weak:
		*c = choice{f.offset, f.weak}
	}
	return true
}

// function returns the offset of the function with that name, which may end in "@VERSION" or "@@VERSION" (libbpf:
// elf_find_func_offset).
func (t *target) function(name string) (uint64, error) {
	base, version, versioned := strings.Cut(name, "@")
	version = strings.TrimPrefix(version, "@")
	for _, table := range []elf.SectionType{elf.SHT_DYNSYM, elf.SHT_SYMTAB} {
		stored, whole := []byte(base), false
		wanted := func(function) (bool, error) { return true, nil }
		switch {
		case versioned && table == elf.SHT_DYNSYM:
			var err error
			if wanted, err = t.ofVersion(version); err != nil {
				return 0, err
			}
		case versioned:
			// In this table, the version is part of the name.
			stored, whole = []byte(name), true
		}
		var found choice
		err := t.functions(table, func(f function) error {
			got, err := t.text(f.name, f.strEnd, len(stored)+1)
			if err != nil {
				return err
			}
			rest, ok := bytes.CutPrefix(got, stored)
			if !ok || len(rest) > 0 && (whole || rest[0] != '@') {
				return nil
			}
			if ok, err := wanted(f); !ok || err != nil {
				return err
			}
			if !found.add(f) {
				return damaged("several functions of this name")
			}
			return nil
		})
		if found.offset != 0 || err != nil {
			return found.offset, err
		}
	}
	return 0, fmt.Errorf("no such function: %w", syscall.ENOENT)
}

// ofVersion returns a function that reports whether a dynamic symbol has a version.
func (t *target) ofVersion(version string) (func(function) (bool, error), error) {
	none := func(function) (bool, error) { return false, nil }
	symbols, err := t.first(elf.SHT_GNU_VERSYM)
	if symbols == nil || err != nil {
		return none, err
	}
	definitions, err := t.first(elf.SHT_GNU_VERDEF)
	if definitions == nil || err != nil {
		return none, err
	}
	names, err := t.strings(definitions.Link)
	if err != nil {
		return nil, err
	}
	const hidden = 0x8000
	is := make(map[uint16]bool) // by the version's index
	for offset, end := definitions.Off, definitions.Off+definitions.Size; ; {
		// Read the struct Verdef and its first struct Verdaux.
		b, err := t.at(offset, 20)
		if err != nil {
			return nil, err
		}
		index := t.order.Uint16(b[4:])
		aux, next := uint64(t.order.Uint32(b[12:])), uint64(t.order.Uint32(b[16:]))
		if max(offset+20, offset+aux+8) > end {
			return nil, damaged("version definition ends beyond its section")
		}
		if b, err = t.at(offset+aux, 8); err != nil {
			return nil, err
		}
		got, err := t.text(names.Off+uint64(t.order.Uint32(b)), names.Off+names.Size, len(version)+1)
		if err != nil {
			return nil, err
		}
		if _, known := is[index]; !known {
			is[index] = string(got) == version
		}
		if next == 0 {
			break
		}
		offset += next
	}
	return func(f function) (bool, error) {
		if f.index >= symbols.Size/2 {
			return false, nil
		}
		b, err := t.at(symbols.Off+f.index*2, 2)
		return err == nil && is[t.order.Uint16(b)&^hidden], err
	}, nil
}

// functionsNamed returns the offsets of the functions with these names (libbpf: elf_resolve_syms_offsets).
func (t *target) functionsNamed(names []string) ([]uint64, error) {
	choices := make(map[string]*choice)
	longest := 0
	for _, name := range names {
		choices[name] = new(choice)
		longest = max(longest, len(name))
	}
	for _, table := range []elf.SectionType{elf.SHT_DYNSYM, elf.SHT_SYMTAB} {
		err := t.functions(table, func(f function) error {
			name, err := t.text(f.name, f.strEnd, longest+1)
			if err != nil {
				return err
			}
			if c := choices[string(name)]; c != nil && !c.add(f) {
				return fmt.Errorf("several functions %q: %w", name, syscall.ESRCH)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	offsets := make([]uint64, len(names))
	for i, name := range names {
		if offsets[i] = choices[name].offset; offsets[i] == 0 {
			return nil, fmt.Errorf("no function %q: %w", name, syscall.ENOENT)
		}
	}
	return offsets, nil
}

// functionsLike returns the offsets of the functions in .symtab whose names match a pattern or, if there are none, of
// those in .dynsym (libbpf: elf_resolve_pattern_offsets).
func (t *target) functionsLike(pattern string) ([]uint64, error) {
	var offsets []uint64
	for _, table := range []elf.SectionType{elf.SHT_SYMTAB, elf.SHT_DYNSYM} {
		err := t.functions(table, func(f function) error {
			name, err := t.text(f.name, f.strEnd, maxName)
			if err != nil || !matches(name, pattern) {
				return err
			}
			if len(offsets) == maxMatches {
				return fmt.Errorf("more than %d functions: %w", maxMatches, syscall.E2BIG)
			}
			offsets = append(offsets, f.offset)
			return nil
		})
		if len(offsets) != 0 || err != nil {
			return offsets, err
		}
	}
	return nil, fmt.Errorf("no such functions: %w", syscall.ENOENT)
}

// matches reports whether a name matches a pattern, in which * matches any characters and ? matches one. Its time is
// at most proportional to the product of the two lengths.
func matches(name []byte, pattern string) bool {
	n, p := 0, 0
	star, resume := -1, 0 // the last * in the pattern, and where in the name the comparison restarts
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			n++
			p++
		case star >= 0:
			resume++
			n, p = resume, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// inTarget runs find on the ELF file at path or, unless member is empty, on that file in the zip archive at path.
func inTarget[T any](path, member string, find func(*target) (T, error)) (result T, err error) {
	file, _, err := openRegular(path)
	if err != nil {
		return result, err
	}
	defer file.Close()
	i, err := newImage(file)
	if err != nil {
		return result, err
	}
	if member != "" {
		if err := i.enterArchive(member); err != nil {
			return result, err
		}
	}
	t, err := newTarget(i)
	if err != nil {
		return result, err
	}
	return find(t)
}

// findFunction returns the offset of a function and the file that the offset refers to. A path "ARCHIVE!/NAME" names a
// file in a zip archive; the offset then refers to the archive.
func findFunction(path, name string) (file string, offset uint64, err error) {
	if strings.IndexByte(name, 0) >= 0 {
		return "", 0, errZeroByte
	}
	file, member, _ := strings.Cut(path, "!/")
	offset, err = inTarget(file, member, func(t *target) (uint64, error) { return t.function(name) })
	return file, offset, err
}

// findFunctions returns the offsets of the functions whose names match a pattern or, if the pattern is empty, of those
// with the given names.
func findFunctions(path, pattern string, names []string) ([]uint64, error) {
	if strings.IndexByte(pattern+strings.Join(names, ""), 0) >= 0 {
		return nil, errZeroByte
	}
	return inTarget(path, "", func(t *target) ([]uint64, error) {
		if pattern != "" {
			return t.functionsLike(pattern)
		}
		return t.functionsNamed(names)
	})
}

// usdtArguments are the formats, by architecture, of a static tracepoint's argument. libbpf 1.7.0 parses arguments by
// sscanf(3). If a closing bracket is missing, it uses an uninitialized length (parse_usdt_arg).
var usdtArguments = map[string]string{
	"386":     x86Argument,
	"amd64":   x86Argument,
	"arm":     `#-?\d+|[a-z0-9]+|\[ ?[a-z0-9]{1,15}( ?, ?#-?\d+)? ?\]`,
	"arm64":   `-?\d+|[a-z0-9]+|\[ ?[a-z0-9]{1,15}( ?, ?-?\d+)? ?\]`,
	"riscv64": `-?\d+|[a-z0-9]+|-?\d+\([a-z0-9]{1,15}\)`,
	"s390x":   `-?\d+|%r\d+|-?\d+\(%r\d+\)`,
}

const x86Argument = `\$-?\d+|%[a-z0-9]+|(-?\d+)?\(%[a-z0-9]+(,%[a-z0-9]+(,\d+)?)?\)`

// usdtArgumentList matches the list of arguments of a static tracepoint. It is nil on architectures where libbpf
// parses none.
var usdtArgumentList = sync.OnceValue(func() *regexp.Regexp {
	argument, ok := usdtArguments[runtime.GOARCH]
	if !ok {
		return nil
	}
	argument = `-?\d+@(` + argument + `)`
	return regexp.MustCompile(`^ *` + argument + `( +` + argument + `)* *$`)
})

// checkUSDT returns an error unless libbpf can safely look for a static tracepoint in the file. If the file has no
// such tracepoint, libbpf reports that.
func (t *target) checkUSDT(provider, name string) error {
	h := &t.header
	if t.class != nativeClass || t.order.Uint16([]byte{1, 0}) != binary.NativeEndian.Uint16([]byte{1, 0}) {
		return fmt.Errorf("ELF file of another architecture: %w", syscall.EBADF)
	}
	segment := uint64(binary.Size(elf.Prog64{}))
	if t.class == elf.ELFCLASS32 {
		segment = uint64(binary.Size(elf.Prog32{}))
	}
	if size := uint64(h.Phnum) * segment; h.Phoff != 0 && h.Phnum != 0 &&
		(uint64(h.Phentsize) != segment || size > maxSegments || h.Phoff > t.size || size > t.size-h.Phoff) {
		return damaged("%d program headers of %d bytes at offset %d", h.Phnum, h.Phentsize, h.Phoff)
	}
	if len(t.sections) == 0 {
		return nil
	}
	names, err := t.strings(uint32(h.Shstrndx))
	if err != nil {
		return err
	}
	if names.Size == 0 || names.Size > maxTable {
		return damaged("names of sections have %d bytes", names.Size)
	}
	if end, err := t.at(names.Off+names.Size-1, 1); err != nil || end[0] != 0 {
		return damaged("names of sections aren't terminated by a zero byte")
	}
	const notes = ".note.stapsdt"
	for n := range t.sections[1:] {
		s := &t.sections[n+1]
		if uint64(s.Name) >= names.Size {
			continue
		}
		got, err := t.text(names.Off+uint64(s.Name), names.Off+names.Size, len(notes)+1)
		if err != nil {
			return err
		}
		if string(got) == notes {
			return t.checkNotes(s, provider, name)
		}
	}
	return nil
}

// checkNotes checks the notes in the section of static tracepoints.
func (t *target) checkNotes(s *elf.Section64, provider, name string) error {
	if err := t.check(s); err != nil {
		return err
	}
	if elf.SectionType(s.Type) != elf.SHT_NOTE || s.Size > maxTable {
		return damaged("section of static tracepoints has type %v and %d bytes", elf.SectionType(s.Type), s.Size)
	}
	align := uint64(4)
	if s.Addralign == 8 {
		align = 8
	}
	const (
		headerSize = 12
		owner      = "stapsdt\x00"
		noteType   = 3
		addresses  = 3 * int(unsafe.Sizeof(uintptr(0)))
	)
	up := func(n uint64) uint64 { return (n + align - 1) / align * align }
	for offset := uint64(0); s.Size-offset >= headerSize; {
		b, err := t.at(s.Off+offset, headerSize)
		if err != nil {
			return err
		}
		ownerSize, size, kind := uint64(t.order.Uint32(b)), uint64(t.order.Uint32(b[4:])), t.order.Uint32(b[8:])
		start := up(offset + headerSize + ownerSize)
		next := start + up(size)
		if ownerSize != uint64(len(owner)) || kind != noteType || next > s.Size || size < uint64(addresses) {
			return damaged("note at byte %d of the section of static tracepoints", offset)
		}
		if b, err = t.at(s.Off+offset+headerSize, len(owner)); err != nil {
			return err
		}
		if string(b) != owner {
			return damaged("note of %q in the section of static tracepoints", b)
		}
		if b, err = t.at(s.Off+start, int(size)); err != nil {
			return err
		}
		strings := bytes.SplitN(b[addresses:], []byte{0}, 4)
		if len(strings) < 4 || len(strings[1]) == 0 {
			return damaged("note at byte %d of the section of static tracepoints has no provider, name or arguments", offset)
		}
		if string(strings[0]) == provider && string(strings[1]) == name {
			list, arguments := usdtArgumentList(), strings[2]
			if list != nil && len(arguments) != 0 && arguments[0] != ':' && !list.Match(arguments) {
				return fmt.Errorf("static tracepoint has arguments %q, which libbpf can't read: %w", arguments, syscall.EINVAL)
			}
		}
		offset = next
	}
	return nil
}

// holdTarget opens the file at path and takes a lease on it (fcntl(2)): until the file is closed, others that open it
// for writing or truncate it wait. Without CAP_LEASE there is no lease on another user's file, and some file systems
// have no leases; the file is opened nevertheless.
func holdTarget(path string) (*os.File, error) {
	file, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err == unix.EAGAIN {
		_ = file.Close()
		return nil, fmt.Errorf("file is open for writing: %w", syscall.ETXTBSY)
	}
	// Without an owner, the kernel sends no SIGIO when another process waits for the lease.
	_, _ = unix.FcntlInt(file.Fd(), unix.F_SETOWN, 0)
	return file, nil
}

// checkUSDTTarget checks the file at path for a static tracepoint. It returns the file, which must be closed after the
// attachment, and a path that leads libbpf to this file, even if another file is at the original path by then.
func checkUSDTTarget(path, provider, name string) (*os.File, string, error) {
	file, err := holdTarget(path)
	if err != nil {
		return nil, "", err
	}
	i, err := newImage(file)
	if err == nil {
		var t *target
		if t, err = newTarget(i); err == nil {
			err = t.checkUSDT(provider, name)
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, "", err
	}
	// On kernels without attach cookies (before 5.15), libbpf must see that a file belongs to another process: for a
	// path below /proc/PID/root, it looks up the path in /proc/PID/maps (parse_vma_segs).
	if strings.HasPrefix(path, "/proc/") {
		if cookies, err := BPFHelperIsSupported(BPFProgTypeKprobe, BPFFuncGetAttachCookie); !cookies || err != nil {
			return file, path, nil
		}
	}
	return file, descriptorPath(file, path), nil
}

// descriptorPath returns the path of an open file in /proc, or path if /proc isn't mounted.
func descriptorPath(file *os.File, path string) string {
	link := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	var info, linked unix.Stat_t
	if unix.Fstat(int(file.Fd()), &info) != nil || unix.Stat(link, &linked) != nil || info.Dev != linked.Dev || info.Ino != linked.Ino {
		return path
	}
	return link
}
