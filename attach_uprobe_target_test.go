package libbpfgo

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The sections of a built target, in the order of their headers.
const (
	inNone = iota
	inText
	inDynsym
	inDynstr
	inVersym
	inVerdef
	inSymtab
	inStrtab
	inShstrtab
	inBase
	inNotes
	targetSections
)

var targetSectionNames = [targetSections]string{
	"", ".text", ".dynsym", ".dynstr", ".gnu.version", ".gnu.version_d", ".symtab", ".strtab", ".shstrtab", ".stapsdt.base", ".note.stapsdt",
}

// A targetSpec says how a target is built.
type targetSpec struct {
	notes    []byte // nil: two good ones
	stripped bool   // without .symtab
}

// The file offsets of the functions in a built target, whose text is at address 0x401000.
const (
	targetText  = 0x1000
	firstAt     = targetText
	firstOldAt  = targetText + 0x10
	secondAt    = targetText + 0x20
	thirdAt     = targetText + 0x30
	weakAt      = targetText + 0x40
	probeAt     = targetText + 0x50
	textAddress = 0x401000
	baseAddress = textAddress + 0x58
)

// targetArguments are those of a static tracepoint that libbpf takes on this architecture.
var targetArguments = map[string]string{
	"amd64": "-4@%eax 8@-16(%rbp) 8@(%rsp) -4@$-5",
	"arm64": "-4@x0 8@[sp, 16] 8@[x29] -4@-5",
}[runtime.GOARCH]

// usdtNote returns a note of a static tracepoint of that description.
func usdtNote(description string) []byte {
	note := binary.NativeEndian.AppendUint32(nil, 8)
	note = binary.NativeEndian.AppendUint32(note, uint32(len(description)))
	note = binary.NativeEndian.AppendUint32(note, 3)
	note = append(note, "stapsdt\x00"+description...)
	return append(note, make([]byte, -len(note)&3)...)
}

// usdtProbe returns the description of a static tracepoint with its three strings.
func usdtProbe(strings string) string {
	var b []byte
	for _, address := range []uint64{textAddress + probeAt - targetText, baseAddress, 0} {
		b = binary.NativeEndian.AppendUint64(b, address)
	}
	return string(b) + strings
}

// buildTarget returns a small executable with functions, versions of them, and a static tracepoint. Its notes end at
// the end of the file and of a page: reading beyond them ends the process.
func buildTarget(spec targetSpec) []byte {
	if spec.notes == nil {
		spec.notes = append(usdtNote(usdtProbe("test\x00other\x00\x00")), usdtNote(usdtProbe("test\x00probe\x00"+targetArguments+"\x00"))...)
	}
	put := func(b *bytes.Buffer, v any) {
		if err := binary.Write(b, binary.NativeEndian, v); err != nil {
			panic(err)
		}
	}
	var content [targetSections]bytes.Buffer
	text := func(section int, s string) uint32 {
		if content[section].Len() == 0 {
			content[section].WriteByte(0)
		}
		content[section].WriteString(s + "\x00")
		return uint32(content[section].Len() - len(s) - 1)
	}
	symbol := func(table, names int, name string, info byte, section uint16, offset uint64) {
		put(&content[table], elf.Sym64{Name: text(names, name), Info: info, Shndx: section, Value: offset - targetText + textAddress, Size: 16})
	}
	put(&content[inText], bytes.Repeat([]byte{0x90}, 0x60))
	const (
		global = byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_FUNC)
		weak   = byte(elf.STB_WEAK)<<4 | byte(elf.STT_FUNC)
		object = byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_OBJECT)
	)
	put(&content[inDynsym], elf.Sym64{})
	symbol(inDynsym, inDynstr, "imported", global, 0, textAddress)
	symbol(inDynsym, inDynstr, "first", global, inText, firstAt)
	symbol(inDynsym, inDynstr, "versioned", global, inText, firstAt)
	symbol(inDynsym, inDynstr, "versioned", global, inText, firstOldAt)
	symbol(inDynsym, inDynstr, "second", weak, inText, weakAt)
	symbol(inDynsym, inDynstr, "second", global, inText, secondAt)
	put(&content[inVersym], []uint16{0, 1, 2, 2, 0x8003, 1, 1})
	for i, name := range []string{"TEST_2", "TEST_1"} {
		next := uint32(28)
		if i == 1 {
			next = 0
		}
		put(&content[inVerdef], struct {
			Version, Flags, Index, Count uint16
			Hash, Aux, Next              uint32
			Name, NextAux                uint32
		}{1, 0, uint16(2 + i), 1, 0, 20, next, text(inDynstr, name), 0})
	}
	put(&content[inSymtab], elf.Sym64{})
	symbol(inSymtab, inStrtab, "data", object, inText, firstAt)
	symbol(inSymtab, inStrtab, "first", global, inText, firstAt)
	symbol(inSymtab, inStrtab, "third@TEST_1", global, inText, thirdAt)
	symbol(inSymtab, inStrtab, "third@@TEST_2", global, inText, firstAt)
	symbol(inSymtab, inStrtab, "weak", weak, inText, weakAt)
	symbol(inSymtab, inStrtab, "twice", global, inText, firstAt)
	symbol(inSymtab, inStrtab, "twice", global, inText, thirdAt)
	symbol(inSymtab, inStrtab, "absolute", global, uint16(elf.SHN_ABS), thirdAt)
	content[inBase].WriteByte(0)
	content[inNotes].Write(spec.notes)

	var names [targetSections]uint32
	for i, name := range targetSectionNames {
		names[i] = text(inShstrtab, name)
	}
	const headers = 64 + 2*56 + targetSections*64
	sections := [targetSections]elf.Section64{
		inText:     {Type: uint32(elf.SHT_PROGBITS), Addr: textAddress, Off: targetText},
		inDynsym:   {Type: uint32(elf.SHT_DYNSYM), Link: inDynstr, Entsize: 24},
		inDynstr:   {Type: uint32(elf.SHT_STRTAB)},
		inVersym:   {Type: uint32(elf.SHT_GNU_VERSYM), Link: inDynsym, Entsize: 2},
		inVerdef:   {Type: uint32(elf.SHT_GNU_VERDEF), Link: inDynstr},
		inSymtab:   {Type: uint32(elf.SHT_SYMTAB), Link: inStrtab, Entsize: 24},
		inStrtab:   {Type: uint32(elf.SHT_STRTAB)},
		inShstrtab: {Type: uint32(elf.SHT_STRTAB)},
		inBase:     {Type: uint32(elf.SHT_PROGBITS), Addr: baseAddress},
		inNotes:    {Type: uint32(elf.SHT_NOTE), Addralign: 4},
	}
	if spec.stripped {
		sections[inSymtab].Type = uint32(elf.SHT_PROGBITS)
	}
	end := uint64(headers)
	for i := range sections {
		s := &sections[i]
		s.Name, s.Size = names[i], uint64(content[i].Len())
		switch i {
		case inText:
		case inNotes:
			end = max(end, targetText+s.Off+uint64(content[inText].Len()))
			end = (end + s.Size + pageSize - 1) / pageSize * pageSize
			s.Off = end - s.Size
		default:
			s.Off = end
			end = (end + s.Size + 7) &^ 7
		}
	}
	var file bytes.Buffer
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Shoff: 64 + 2*56, Ehsize: 64,
		Phentsize: 56, Phnum: 2, Shentsize: 64, Shnum: targetSections, Shstrndx: inShstrtab,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	put(&file, header)
	put(&file, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: targetText, Vaddr: textAddress, Filesz: 0x60, Memsz: 0x60})
	put(&file, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Off: targetText, Vaddr: textAddress + 0x1000, Filesz: 0x60, Memsz: 0x60})
	put(&file, sections)
	image := make([]byte, end)
	copy(image, file.Bytes())
	for i, s := range sections {
		copy(image[s.Off:], content[i].Bytes())
	}
	return image
}

// set writes a field of 1, 2, 4 or 8 bytes.
func set(image []byte, offset, size int, value uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	copy(image[offset:offset+size], b[:])
}

// The fields of a built target: where they are, and their size.
type fieldOf func(image []byte) (offset, size int)

func headerField(offset, size int) fieldOf { return func([]byte) (int, int) { return offset, size } }

func segmentField(n, offset, size int) fieldOf { return headerField(64+n*56+offset, size) }

func sectionField(section, offset, size int) fieldOf {
	return headerField(64+2*56+section*64+offset, size)
}

// contentField is one in a section.
func contentField(section, offset, size int) fieldOf {
	return func(image []byte) (int, int) {
		at, _ := sectionField(section, 24, 8)(image)
		return int(binary.LittleEndian.Uint64(image[at:])) + offset, size
	}
}

// A targetForm is a way to attach a program to a file.
type targetForm struct {
	name, program string
	attach        func(prog *BPFProg, pid int, path string) (*BPFLink, error)
}

var targetForms = []targetForm{
	{"by name", "on_function", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUprobeOpts(pid, path, 0, UprobeOpts{FuncName: "first"})
	}},
	{"by version", "on_function", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUprobeOpts(pid, path, 0, UprobeOpts{FuncName: "versioned@TEST_1", Retprobe: true})
	}},
	{"by names", "on_functions", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUprobeMultiOpts(pid, path, "", UprobeMultiOpts{Symbols: []string{"first", "weak"}})
	}},
	{"by pattern", "on_functions", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUprobeMultiOpts(pid, path, "*ir*t*", UprobeMultiOpts{})
	}},
	{"by tracepoint", "on_tracepoint", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUSDT(pid, path, "test", "probe")
	}},
	{"by offset", "on_function", func(prog *BPFProg, pid int, path string) (*BPFLink, error) {
		return prog.AttachUprobe(pid, path, firstAt)
	}},
	{"by section, function", "at_function", attachBySection},
	{"by section, version", "at_return", attachBySection},
	{"by section, pattern", "at_functions", attachBySection},
	{"by section, tracepoint", "at_tracepoint", attachBySection},
}

func attachBySection(prog *BPFProg, _ int, _ string) (*BPFLink, error) { return prog.AttachGeneric() }

// loadTargets loads the programs of targetForms, for a file "target" that is to be written to the working directory, and
// returns the forms that can be tried here.
func loadTargets(t testing.TB) (*Module, []targetForm) {
	t.Helper()
	needBPF(t)
	if targetArguments == "" {
		t.Skipf("the targets are built for others than %s", runtime.GOARCH)
	}
	m, err := NewModuleFromFile("testdata/target.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	forms := slices.Clone(targetForms)
	if needLibbpf(1, 3, "") != nil || olderKernel(t, 6, 6) {
		forms = slices.DeleteFunc(forms, func(form targetForm) bool { return strings.HasSuffix(form.program, "_functions") })
	}
	for _, form := range forms {
		if err := getTargetProgram(t, m, form.program).SetAutoload(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	return m, forms
}

func getTargetProgram(t testing.TB, m *Module, name string) *BPFProg {
	t.Helper()
	prog, err := m.GetProgram(name)
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

func writeTarget(t testing.TB, image []byte) {
	t.Helper()
	if err := os.WriteFile("target", image, 0o644); err != nil {
		t.Fatal(err)
	}
}

// attachTarget attaches in all forms, and returns their errors.
func attachTarget(t testing.TB, m *Module, forms []targetForm, pid int, path string) map[string]error {
	t.Helper()
	errs := make(map[string]error)
	for _, form := range forms {
		link, err := form.attach(getTargetProgram(t, m, form.program), pid, path)
		if err == nil {
			err = link.Destroy()
		}
		errs[form.name] = err
	}
	return errs
}

// A damagedTarget is one that some forms have to refuse.
type damagedTarget struct {
	name  string
	fail  []string
	build func() []byte
}

func damagedTargets() []damagedTarget {
	var targets []damagedTarget
	add := func(name string, fail []string, build func() []byte) {
		targets = append(targets, damagedTarget{name, fail, build})
	}
	const (
		huge       = 1<<64 - 1
		compressed = uint64(elf.SHF_COMPRESSED)
	)
	byDynamic := []string{"by name", "by version", "by names", "by section, function", "by section, version"}
	bySymbol := []string{"by names", "by pattern", "by section, pattern"}
	byName := slices.Concat(byDynamic, []string{"by pattern", "by section, pattern"})
	byVersion := []string{"by version", "by section, version"}
	byTracepoint := []string{"by tracepoint", "by section, tracepoint"}
	all := slices.Concat(byName, byTracepoint)
	for _, test := range []struct {
		name  string
		field fieldOf
		value uint64
		fail  []string
	}{
		{"e_ident magic", headerField(0, 1), 0, all},
		{"e_ident class", headerField(4, 1), 7, all},
		{"e_ident class 32", headerField(4, 1), 1, all},
		{"e_ident order", headerField(5, 1), 2, all},
		{"e_phoff", headerField(32, 8), huge - 100, byTracepoint},
		{"e_shoff", headerField(40, 8), huge - 63, all},
		{"e_shoff in the file", headerField(40, 8), pageSize - 8, all},
		{"e_phentsize", headerField(54, 2), 1, byTracepoint},
		{"e_phnum", headerField(56, 2), 0xffff, byTracepoint},
		{"e_phnum of 0", headerField(56, 2), 0, byTracepoint},
		{"e_shentsize", headerField(58, 2), 1, all},
		{"e_shnum", headerField(60, 2), 0xffff, all},
		{"e_shnum of 0", headerField(60, 2), 0, all},
		{"e_shstrndx", headerField(62, 2), 0x7fff, byTracepoint},
		{"e_shstrndx elsewhere", headerField(62, 2), 0xffff, byTracepoint},
		{"e_shstrndx of no names", headerField(62, 2), inText, byTracepoint},
		{"dynsym sh_entsize of 0", sectionField(inDynsym, 56, 8), 0, byDynamic},
		{"dynsym sh_entsize", sectionField(inDynsym, 56, 8), 1, byDynamic},
		{"dynsym sh_offset", sectionField(inDynsym, 24, 8), huge - 8, byDynamic},
		{"dynsym sh_size", sectionField(inDynsym, 32, 8), huge, byDynamic},
		{"dynsym sh_size, no multiple", sectionField(inDynsym, 32, 8), 25, byDynamic},
		{"dynsym sh_link", sectionField(inDynsym, 40, 4), 1 << 31, byDynamic},
		{"dynsym sh_link to no names", sectionField(inDynsym, 40, 4), inText, byDynamic},
		{"dynsym sh_flags", sectionField(inDynsym, 8, 8), compressed, byDynamic},
		{"dynstr sh_offset", sectionField(inDynstr, 24, 8), huge, byDynamic},
		{"dynstr sh_size", sectionField(inDynstr, 32, 8), huge, byDynamic},
		{"dynstr without an end", sectionField(inDynstr, 32, 8), 3, byDynamic},
		{"dynstr sh_flags", sectionField(inDynstr, 8, 8), compressed, byDynamic},
		{"dynsym st_name", contentField(inDynsym, 2*24, 4), 1<<32 - 1, byDynamic},
		{"dynsym st_shndx", contentField(inDynsym, 4*24+6, 2), 0x7fff, byVersion[:1]},
		{"versym sh_size", sectionField(inVersym, 32, 8), 4, byVersion},
		{"versym sh_size of 0", sectionField(inVersym, 32, 8), 0, byVersion},
		{"versym sh_offset", sectionField(inVersym, 24, 8), huge, byVersion},
		{"verdef sh_size", sectionField(inVerdef, 32, 8), 19, byVersion},
		{"verdef sh_size of 0", sectionField(inVerdef, 32, 8), 0, byVersion},
		{"verdef sh_offset", sectionField(inVerdef, 24, 8), huge, byVersion},
		{"verdef sh_link", sectionField(inVerdef, 40, 4), inText, byVersion},
		{"vd_next", contentField(inVerdef, 16, 4), 1<<31 - 1, byVersion},
		{"vd_aux", contentField(inVerdef, 12, 4), 1<<32 - 1, byVersion},
		{"vda_name", contentField(inVerdef, 20, 4), 1<<32 - 1, byVersion},
		{"symtab sh_entsize of 0", sectionField(inSymtab, 56, 8), 0, bySymbol},
		{"symtab sh_offset", sectionField(inSymtab, 24, 8), huge - 8, bySymbol},
		{"symtab sh_size", sectionField(inSymtab, 32, 8), huge / 24 * 24, bySymbol},
		{"symtab sh_link", sectionField(inSymtab, 40, 4), 1<<32 - 1, bySymbol},
		{"strtab without an end", sectionField(inStrtab, 32, 8), 8, bySymbol},
		{"symtab st_name", contentField(inSymtab, 2*24, 4), 1<<32 - 1, bySymbol},
		{"shstrtab sh_size", sectionField(inShstrtab, 32, 8), huge, byTracepoint},
		{"shstrtab sh_size of 0", sectionField(inShstrtab, 32, 8), 0, byTracepoint},
		{"shstrtab sh_offset", sectionField(inShstrtab, 24, 8), huge, byTracepoint},
		{"shstrtab without an end", sectionField(inShstrtab, 32, 8), 8, byTracepoint},
		{"shstrtab sh_flags", sectionField(inShstrtab, 8, 8), compressed, byTracepoint},
		{"notes sh_type", sectionField(inNotes, 4, 4), uint64(elf.SHT_NOBITS), byTracepoint},
		{"notes sh_flags", sectionField(inNotes, 8, 8), compressed, byTracepoint},
		{"notes sh_name", sectionField(inNotes, 0, 4), 1<<32 - 1, byTracepoint},
		{"notes sh_offset", sectionField(inNotes, 24, 8), huge, byTracepoint},
		{"notes sh_size", sectionField(inNotes, 32, 8), huge, byTracepoint},
		{"notes sh_addralign", sectionField(inNotes, 48, 8), 8, byTracepoint},
		{"n_namesz", contentField(inNotes, 0, 4), 1<<32 - 1, byTracepoint},
		{"n_namesz of 0", contentField(inNotes, 0, 4), 0, byTracepoint},
		{"n_descsz", contentField(inNotes, 4, 4), 1<<32 - 1, byTracepoint},
		{"n_descsz of 0", contentField(inNotes, 4, 4), 0, byTracepoint},
		{"n_type", contentField(inNotes, 8, 4), 4, byTracepoint},
		{"note's owner", contentField(inNotes, 12, 1), 'x', byTracepoint},
		{"probe's address", contentField(inNotes, 20+24+12+20, 8), huge, byTracepoint},
		{"p_vaddr", segmentField(0, 16, 8), huge, byTracepoint},
		{"p_memsz", segmentField(0, 40, 8), huge, byTracepoint},
		{"p_offset", segmentField(0, 8, 8), huge - 0x2000, nil}, // is for the kernel to judge
		{"p_type", segmentField(0, 0, 4), 0, byTracepoint},
	} {
		add(test.name, test.fail, func() []byte {
			image := buildTarget(targetSpec{})
			offset, size := test.field(image)
			set(image, offset, size, test.value)
			return image
		})
	}
	for _, test := range []struct{ name, strings string }{
		{"no arguments", "test\x00probe\x00"},
		{"arguments without an end", "test\x00probe\x008@$11"},
		{"name without an end", "test\x00probe.."},
		{"provider without an end", "test...."},
		{"empty name", "test\x00\x00\x00"},
		{"another's arguments without an end", "tes\x00probe\x008@$1  "},
		{"argument without a bracket", "test\x00probe\x00" + map[string]string{"amd64": "-4@-20(%rbp", "arm64": "-4@[sp, 96"}[runtime.GOARCH] + "\x00"},
		{"argument without a bracket after the index", "test\x00probe\x00" + map[string]string{"amd64": "1@8(%rbp,%rax,8", "arm64": "-4@[sp"}[runtime.GOARCH] + "\x00"},
		{"argument without a bracket after a long name", "test\x00probe\x00" + map[string]string{"amd64": "1@8(%rbp,%rax,8x)", "arm64": "-4@[x000000000000001]"}[runtime.GOARCH] + "\x00"},
		{"too many arguments", "test\x00probe\x00" + strings.Repeat(strings.Fields(targetArguments + " x")[0]+" ", 13) + "\x00"},
	} {
		add(test.name, byTracepoint, func() []byte {
			note := usdtNote(usdtProbe(test.strings))
			if !strings.HasSuffix(test.strings, "\x00") && len(usdtProbe(test.strings))%4 != 0 {
				panic("padded by zeros: " + test.name)
			}
			return buildTarget(targetSpec{notes: note})
		})
	}
	add("vd_next in a circle", byVersion, func() []byte {
		image := buildTarget(targetSpec{})
		for field, value := range map[int]uint64{4: 9, 28 + 4: 9, 28 + 16: 1<<32 - 28} {
			offset, _ := contentField(inVerdef, field, 4)(image)
			set(image, offset, 4, value)
		}
		return image
	})
	add("truncated to nothing", all, func() []byte { return nil })
	add("truncated in the header", all, func() []byte { return buildTarget(targetSpec{})[:63] })
	add("truncated in the sections", all, func() []byte { return buildTarget(targetSpec{})[:500] })
	add("archive", all, func() []byte { return append([]byte("!<arch>\n"), make([]byte, 4096)...) })
	return targets
}

// What can be wrong with a target is an error, or it isn't looked at. Children try a part of the targets each, one
// after the other, and together wait for the kernel, which takes its time to detach. Where one dies, another goes on
// behind.
func TestTargetDamaged(t *testing.T) {
	const from, to, trying, parts = "LIBBPFGO_TEST_FROM", "LIBBPFGO_TEST_TO", "trying ", 10
	targets := damagedTargets()
	if testing.Short() || raceDetector { // which sees nothing in one goroutine
		targets = every(8, targets)
	}
	if isChild(t.Name()) {
		m, forms := loadTargets(t)
		forms = slices.DeleteFunc(forms, func(form targetForm) bool { return form.name == "by offset" }) // which isn't looked for
		t.Chdir(t.TempDir())
		first, _ := strconv.Atoi(os.Getenv(from))
		end, _ := strconv.Atoi(os.Getenv(to))
		for n, target := range targets[first:end] {
			fmt.Fprintf(os.Stderr, "%s%d\n", trying, first+n)
			writeTarget(t, target.build())
			leaksNothing(t, func() {
				for form, err := range attachTarget(t, m, forms, -1, "./target") {
					if slices.Contains(target.fail, form) && err == nil {
						t.Errorf("%s, %s: no error", target.name, form)
					}
					if err != nil && !strings.Contains(err.Error(), "./target") {
						t.Errorf("%s, %s: error %q doesn't name the target", target.name, form, err)
					}
				}
			})
		}
		return
	}
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	for part := range parts {
		next, end := part*len(targets)/parts, (part+1)*len(targets)/parts
		all.Add(1)
		go func() {
			defer all.Done()
			for next < end {
				out, stderr, err := runChild(t.Name(), fmt.Sprintf("%s=%d", from, next), fmt.Sprintf("%s=%d", to, end))
				last := next
				for line := range strings.Lines(stderr) {
					if n, ok := strings.CutPrefix(line, trying); ok {
						last, _ = strconv.Atoi(strings.TrimSpace(n))
					}
				}
				if next = last + 1; err != nil {
					t.Errorf("%s: %v\n%s\n%s", targets[last].name, err, out, stderr)
				}
			}
		}()
	}
}

// every returns each n'th element.
func every[T any](n int, all []T) (some []T) {
	for i := 0; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// A good target can be attached to in all forms.
func TestTargetGood(t *testing.T) {
	m, forms := loadTargets(t)
	t.Chdir(t.TempDir())
	writeTarget(t, buildTarget(targetSpec{}))
	leaksNothing(t, func() {
		for form, err := range attachTarget(t, m, forms, -1, "./target") {
			if err != nil {
				t.Errorf("%s: %v", form, err)
			}
		}
	})
	writeTarget(t, buildTarget(targetSpec{stripped: true}))
	for form, err := range attachTarget(t, m, forms, -1, "./target") {
		if form == "by names" {
			wantErr(t, err, syscall.ENOENT, `"weak"`) // is in the other table
		} else if err != nil {
			t.Errorf("stripped, %s: %v", form, err)
		}
	}
}

// What a name finds is what libbpf's rules say.
func TestTargetFunctions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(path, buildTarget(targetSpec{}), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"first":            firstAt,
		"first@TEST_2":     firstAt,
		"first@@TEST_2":    firstAt,
		"first@TEST_1":     syscall.ENOENT,
		"firs":             syscall.ENOENT,
		"first_":           syscall.ENOENT,
		"second":           secondAt,
		"versioned":        LibbpfErrnoFormat,
		"versioned@TEST_1": firstOldAt,
		"versioned@TEST_2": firstAt,
		"third":            LibbpfErrnoFormat,
		"third@TEST_1":     thirdAt,
		"third@@TEST_2":    firstAt,
		"third@TEST_2":     syscall.ENOENT,
		"weak":             weakAt,
		"twice":            LibbpfErrnoFormat,
		"imported":         syscall.ENOENT,
		"absolute":         syscall.ENOENT,
		"data":             syscall.ENOENT,
		"":                 syscall.ENOENT,
	} {
		_, got, err := findFunction(path, name)
		if offset, ok := want.(int); ok && (err != nil || got != uint64(offset)) {
			t.Errorf("%q: %#x, %v, want %#x", name, got, err, offset)
		} else if !ok {
			wantErr(t, err, want.(error))
		}
	}
	if got, err := findFunctions(path, "", []string{"weak", "first", "weak"}); err != nil || !slices.Equal(got, []uint64{weakAt, firstAt, weakAt}) {
		t.Errorf("names: %#x, %v", got, err)
	}
	_, err := findFunctions(path, "", []string{"twice"})
	wantErr(t, err, syscall.ESRCH, "twice")
	_, err = findFunctions(path, "", []string{"first", "a\x00b"})
	wantErr(t, err, syscall.EINVAL, "zero byte")
	_, _, err = findFunction(path, "first\x00")
	wantErr(t, err, syscall.EINVAL, "zero byte")
	if got, err := findFunctions(path, "*ir?t", nil); err != nil || !slices.Equal(got, []uint64{firstAt}) {
		t.Errorf("pattern: %#x, %v", got, err)
	}
	if got, err := findFunctions(path, "t*", nil); err != nil || !slices.Equal(got, []uint64{thirdAt, firstAt, firstAt, thirdAt}) {
		t.Errorf("pattern: %#x, %v", got, err)
	}
	for _, test := range []struct {
		name, pattern string
		want          bool
	}{
		{"", "", true}, {"", "*", true}, {"", "?", false}, {"a", "", false}, {"abc", "abc", true}, {"abc", "a*", true},
		{"abc", "*c", true}, {"abc", "*b", false}, {"abcbd", "*b?", true}, {"abc", "a**c**", true}, {"abc", "???", true},
		{"abc", "????", false}, {strings.Repeat("a", 1000), strings.Repeat("a*", 500) + "b", false},
	} {
		if matches([]byte(test.name), test.pattern) != test.want {
			t.Errorf("%q matches %q: not %t", test.name, test.pattern, test.want)
		}
	}
}

// Where a file in an archive has its functions is said by its place there.
func TestTargetArchive(t *testing.T) {
	m, _ := loadTargets(t)
	t.Chdir(t.TempDir())
	image := buildTarget(targetSpec{})
	archive, at := zipTarget(t, image, zip.Store)
	writeTarget(t, archive)
	file, offset, err := findFunction("./target!/lib/target.so", "first")
	if err != nil || file != "./target" || offset != uint64(at+firstAt) {
		t.Errorf("%q, %#x, %v, want %#x", file, offset, err, at+firstAt)
	}
	attach := func(path string) error {
		link, err := getTargetProgram(t, m, "on_function").AttachUprobeOpts(-1, path, 0, UprobeOpts{FuncName: "first"})
		if err == nil {
			err = link.Destroy()
		}
		return err
	}
	if err := attach("./target!/lib/target.so"); err != nil {
		t.Error(err)
	}
	wantErr(t, attach("./target!/lib/nothing.so"), syscall.ENOENT, "lib/nothing.so")
	wantErr(t, attach("./nothing!/lib/target.so"), syscall.ENOENT)
	writeTarget(t, image)
	wantErr(t, attach("./target!/lib/target.so"), syscall.EINVAL, "not a zip archive")
	for i := range archive {
		if i >= at && i < at+len(image) {
			continue // is in the file
		}
		damaged := bytes.Clone(archive)
		damaged[i] ^= 0xff
		writeTarget(t, damaged)
		_, _, _ = findFunction("./target!/lib/target.so", "first")
		writeTarget(t, archive[:i])
		if _, _, err := findFunction("./target!/lib/target.so", "first"); err == nil {
			t.Errorf("no error for %d bytes of %d", i, len(archive))
		}
	}
	archive, _ = zipTarget(t, image, zip.Deflate)
	writeTarget(t, archive)
	wantErr(t, attach("./target!/lib/target.so"), LibbpfErrnoFormat, "compressed")
}

// zipTarget returns an archive with the file lib/target.so, and where that is in it.
func zipTarget(t testing.TB, image []byte, method uint16) ([]byte, int) {
	t.Helper()
	// Its length puts the image at offset 96: arm64 has uprobes only at multiples of 4.
	otherFile := []byte("another one")
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"lib/other.so", otherFile}, {"lib/target.so", image}, {"last", nil}} {
		size := uint64(len(file.content))
		part, err := w.CreateRaw(&zip.FileHeader{
			Name: file.name, Method: method, CRC32: crc32.ChecksumIEEE(file.content), CompressedSize64: size, UncompressedSize64: size,
		})
		if err == nil {
			_, err = part.Write(file.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.SetComment("a comment"), w.Close()); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b.Bytes(), image)
	if at%4 != 0 {
		t.Fatalf("the image is at offset %d", at)
	}
	return b.Bytes(), at
}

// What isn't a regular file is an error at once.
func TestTargetIrregular(t *testing.T) {
	if !isChild(t.Name()) {
		t.Parallel()
		inChild(t, t.Name())
		return
	}
	m, forms := loadTargets(t)
	t.Chdir(t.TempDir())
	if err := errors.Join(unix.Mkfifo("fifo", 0o644), unix.Mkdir("folder", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"fifo", "folder", "/dev/zero", "/dev/tty", "nothing"} {
		if err := errors.Join(os.RemoveAll("target"), os.Symlink(path, "target")); err != nil {
			t.Fatal(err)
		}
		leaksNothing(t, func() {
			for form, err := range attachTarget(t, m, forms, -1, "./target") {
				if err == nil {
					t.Errorf("%s, %s: no error", path, form)
				}
			}
		})
	}
}

// A file of any size is read to a limited amount.
func TestTargetHuge(t *testing.T) {
	if !residentMemoryTells || raceDetector {
		t.Skip("with a sanitizer, reading that much takes minutes")
	}
	m, forms := loadTargets(t)
	if forms = forms[:5]; testing.Short() {
		forms = forms[:1]
	}
	t.Chdir(t.TempDir())
	const size = 1 << 40
	for name, damage := range map[string]func(image []byte){
		"symbols": func(image []byte) {
			for _, section := range []int{inDynsym, inSymtab} {
				offset, n := sectionField(section, 32, 8)(image)
				set(image, offset, n, size/2/24*24)
			}
		},
		"names": func(image []byte) {
			for _, section := range []int{inDynstr, inStrtab, inShstrtab} {
				offset, n := sectionField(section, 32, 8)(image)
				set(image, offset, n, size/2)
			}
		},
		"notes": func(image []byte) {
			offset, n := sectionField(inNotes, 32, 8)(image)
			set(image, offset, n, size/2)
		},
		"program headers": func(image []byte) {
			set(image, 56, 2, 0xffff)
			set(image, 64+2*56+44, 4, 1<<32-1)
		},
		"sections": func(image []byte) { set(image, 60, 2, 0xfeff) },
	} {
		image := buildTarget(targetSpec{})
		damage(image)
		writeTarget(t, image)
		if err := os.Truncate("target", size); errors.Is(err, syscall.EFBIG) {
			t.Skipf("the file system has no files of that size: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		for _, form := range forms {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if link, err := form.attach(getTargetProgram(t, m, form.program), -1, "./target"); err == nil {
				_ = link.Destroy()
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
				t.Errorf("%s, %s: %d bytes were allocated", name, form.name, n)
			}
		}
	}
}

// processTime returns how long the processors have worked for this process.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Nobody changes a file while libbpf has it mapped.
func TestTargetHeld(t *testing.T) {
	t.Chdir(t.TempDir())
	writeTarget(t, buildTarget(targetSpec{}))
	needLease(t)
	file, err := holdTarget("target")
	if err != nil {
		t.Fatal(err)
	}
	truncated := make(chan error)
	go func() { truncated <- os.Truncate("target", 1) }()
	select {
	case err := <-truncated:
		t.Errorf("truncated meanwhile: %v", err)
		file.Close()
	case <-time.After(100 * time.Millisecond):
		file.Close()
		if err := <-truncated; err != nil {
			t.Error(err)
		}
	}
	file, err = os.OpenFile("target", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = holdTarget("target")
	wantErr(t, err, syscall.ETXTBSY)
	file.Close()
}

// needLease skips the test where the file system has no leases.
func needLease(t *testing.T) {
	t.Helper()
	file, err := os.Open("target")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if errors.Is(err, syscall.EINVAL) {
		t.Skipf("this file system has no leases: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The owner of a file writes to it, truncates it, and puts others in its place all the time.
func TestTargetChanging(t *testing.T) {
	if !isChild(t.Name()) {
		t.Parallel()
		inChild(t, t.Name())
		return
	}
	m, forms := loadTargets(t)
	t.Chdir(t.TempDir())
	// Many notes, so that libbpf takes its time.
	notes := bytes.Repeat(usdtNote(usdtProbe("test\x00other\x00\x00")), 10_000)
	good := buildTarget(targetSpec{notes: append(notes, usdtNote(usdtProbe("test\x00probe\x00"+targetArguments+"\x00"))...)})
	bad := buildTarget(targetSpec{notes: append(notes, usdtNote(usdtProbe("test\x00probe\x008@$11"))...)})
	set(bad, 64+2*56+inDynsym*64+56, 8, 0)
	writeTarget(t, good)
	needLease(t)
	stop := make(chan struct{})
	var group sync.WaitGroup
	repeat := func(change func(image []byte)) {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(n%10) * 200 * time.Microsecond):
					change([][]byte{good, bad}[n%2])
				}
			}
		}()
	}
	repeat(func(image []byte) {
		if file, err := os.OpenFile("target", os.O_WRONLY, 0); err == nil {
			_, _ = file.WriteAt(image, 0)
			file.Close()
		}
	})
	repeat(func(image []byte) {
		_ = os.Truncate("target", int64(len(image)/3))
		_ = os.Truncate("target", int64(len(image)))
	})
	repeat(func(image []byte) {
		if os.WriteFile("next", image, 0o644) == nil {
			_ = os.Rename("next", "target")
		}
	})
	worked := 0
	duration := 3 * time.Second
	if testing.Short() {
		duration = time.Second
	}
	for start := time.Now(); time.Since(start) < duration; {
		for _, form := range forms {
			if form.name == "by offset" {
				continue
			}
			if link, err := form.attach(getTargetProgram(t, m, form.program), -1, "./target"); err == nil {
				_ = link.Destroy()
				worked++
			}
		}
	}
	close(stop)
	group.Wait()
	t.Logf("%d attachments worked", worked)
}

// interesting are the values of a field that are tried first, besides those near its own.
var interesting = []uint64{0, 1, 2, 7, 8, 23, 24, 56, 64, 0x7f, 0xff, 0xfff1, 0xffff, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// targetFields are those of a built target.
func targetFields() []fieldOf {
	var fields []fieldOf
	add := func(of func(offset, size int) fieldOf, sizes ...int) {
		offset := 0
		for _, size := range sizes {
			fields = append(fields, of(offset, size))
			offset += size
		}
	}
	repeat := func(section, entries, entry int, sizes ...int) {
		for n := range entries {
			add(func(offset, size int) fieldOf { return contentField(section, n*entry+offset, size) }, sizes...)
		}
	}
	add(headerField, 1, 1, 1, 1, 1, 1, 1, 1, 8, 2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2)
	for n := range 2 {
		add(func(offset, size int) fieldOf { return segmentField(n, offset, size) }, 4, 4, 8, 8, 8, 8, 8, 8)
	}
	for n := range targetSections {
		add(func(offset, size int) fieldOf { return sectionField(n, offset, size) }, 4, 4, 8, 8, 8, 8, 4, 4, 8, 8)
	}
	repeat(inDynsym, 7, 24, 4, 1, 1, 2, 8, 8)
	repeat(inSymtab, 9, 24, 4, 1, 1, 2, 8, 8)
	repeat(inVersym, 7, 2, 2)
	repeat(inVerdef, 2, 28, 2, 2, 2, 2, 4, 4, 4, 4, 4)
	repeat(inNotes, 2, 12+8+24+12, 4, 4, 4, 8, 8, 8, 8)
	return fields
}

// damageTarget changes fields of a built target as changes say: which field, and how.
func damageTarget(image []byte, fields []fieldOf, changes []byte) {
	for ; len(changes) >= 4; changes = changes[4:] {
		n := int(binary.LittleEndian.Uint16(changes))
		how, by := changes[2], changes[3]
		if n%8 == 7 && int(how) < len(interesting) { // any byte, among the notes as a rule
			at := len(image) - 1 - n/8
			if at >= 0 {
				image[at] = by
			}
			continue
		}
		offset, size := fields[n%len(fields)](image)
		if offset < 0 || size > len(image) || offset > len(image)-size {
			continue
		}
		var b [8]byte
		copy(b[:], image[offset:offset+size])
		value := binary.LittleEndian.Uint64(b[:])
		switch how % 3 {
		case 0:
			value = interesting[int(by)%len(interesting)]
		case 1:
			value += uint64(int64(int8(by)))
		case 2:
			value ^= 1 << (by % 64)
		}
		set(image, offset, size, value)
	}
}

// FuzzTargetFields changes fields of a target, and the arguments of its static tracepoint.
func FuzzTargetFields(f *testing.F) {
	m, forms := loadTargets(f)
	forms = forms[:slices.IndexFunc(forms, func(form targetForm) bool { return form.name == "by offset" })]
	dir := f.TempDir()
	fields := targetFields()
	for n := range fields {
		f.Add([]byte{byte(n), byte(n >> 8), 0, 0}, targetArguments, false)
		f.Add([]byte{byte(n), byte(n >> 8), 0, 19}, targetArguments, n%2 == 0)
	}
	for _, arguments := range []string{"", ":", "-4@%eax", "8@(%rsp", "1@8(%rbp,%rax,8", "1@8(%rbp,%rax", "-4@[sp, 96", "8@[x1]", "-8@-88(s0)", "8@$99999999999999999999"} {
		f.Add([]byte{}, arguments, false)
	}
	f.Fuzz(func(t *testing.T, changes []byte, arguments string, archived bool) {
		if len(arguments) > 4096 {
			return
		}
		image := buildTarget(targetSpec{notes: append(usdtNote(usdtProbe("test\x00other\x00\x00")), usdtNote(usdtProbe("test\x00probe\x00"+arguments+"\x00"))...)})
		path := "./target"
		if archived {
			var at int
			image, at = zipTarget(t, image, zip.Store)
			path += "!/lib/target.so"
			damageTarget(image[at:], fields, changes)
		} else {
			damageTarget(image, fields, changes)
		}
		fuzzTarget(t, m, forms, dir, path, image)
	})
}

// FuzzTarget attaches to any file.
func FuzzTarget(f *testing.F) {
	m, forms := loadTargets(f)
	forms = forms[:slices.IndexFunc(forms, func(form targetForm) bool { return form.name == "by offset" })]
	dir := f.TempDir()
	f.Add(buildTarget(targetSpec{}))
	f.Add(buildTarget(targetSpec{stripped: true}))
	f.Fuzz(func(t *testing.T, image []byte) {
		fuzzTarget(t, m, forms, dir, "./target", image)
		_, _, _ = findFunction("./target!/lib/target.so", "first")
	})
}

// noProcess is none, which the kernel finds out after libbpf has seen the file: attaching and detaching takes far longer.
const noProcess = 1<<22 + 1

// fuzzTarget changes to the folder itself: what the fuzzer finds, it saves below the one that it began in.
func fuzzTarget(t *testing.T, m *Module, forms []targetForm, dir, path string, image []byte) {
	t.Chdir(dir)
	writeTarget(t, image)
	start := processTime(t)
	attachTarget(t, m, forms, noProcess, path)
	if took := processTime(t) - start; took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// A function in both tables of symbols is the one of .dynsym, as for libbpf.
func TestTargetDynamicFirst(t *testing.T) {
	image := buildTarget(targetSpec{})
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := file.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	const value = 8 // offset of st_value
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "first" })
	entry := image[file.Section(".symtab").Offset+uint64(i+1)*elf.Sym64Size:] // which has none of index 0
	binary.NativeEndian.PutUint64(entry[value:], textAddress+thirdAt-targetText)
	t.Chdir(t.TempDir())
	writeTarget(t, image)
	if _, offset, err := findFunction("./target", "first"); err != nil || offset != firstAt {
		t.Errorf("%#x, %v, want %#x", offset, err, firstAt)
	}
}
