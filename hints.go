package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beforeLoad returns the error of a call that must be made before the load. If it was made later, it adds that as the
// reason.
func (s stage) beforeLoad(err error) error {
	if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	switch s {
	case prepared:
		return because("the object was prepared already", err)
	case loaded:
		return because("the object was loaded already", err)
	case loadFailed:
		return because("the object's load has failed, open it again", err)
	}
	return err
}

// explainRefusal adds a likely reason to the error of a load.
func (o *object) explainRefusal(err error) {
	switch e := err.(type) {
	case *opError:
		e.err = because(o.loadRefusal(e), e.err)
	case *VerifierError:
		// The kernel may refuse a program type before it verifies an instruction. The log then only has the
		// statistics.
		if errors.Is(e, syscall.EPERM) && strings.Contains(e.Log, "processed 0 insns") {
			e.err = because(o.programRefusal(e.Program), e.err)
		}
	}
}

// loadRefusal returns the likely reason why a load failed, or "".
func (o *object) loadRefusal(e *opError) string {
	for _, warning := range e.warnings {
		if name, ok := between(warning, "prog '", "': BPF program load failed"); ok && errors.Is(e, syscall.EPERM) {
			return o.programRefusal(name)
		}
		if name, ok := between(warning, "map '", "': failed to create"); ok {
			if c := o.mapByName(name); c != nil {
				return mapRefusal(e, BPFMapInfo{
					Type:           MapType(C.bpf_map__type(c)),
					Name:           name,
					KeySize:        uint32(C.bpf_map__key_size(c)),
					ValueSize:      uint32(C.bpf_map__value_size(c)),
					MaxEntries:     uint32(C.bpf_map__max_entries(c)),
					MapFlags:       uint32(C.bpf_map__map_flags(c)),
					BTFKeyTypeID:   uint32(C.bpf_map__btf_key_type_id(c)),
					BTFValueTypeID: uint32(C.bpf_map__btf_value_type_id(c)),
				})
			}
		}
	}
	if errors.Is(e, syscall.EPERM) {
		return programRefusal(BPFProgTypeSocketFilter) // libbpf loads one first, as a probe
	}
	return ""
}

// between returns the part of s between a prefix and the first occurrence of end.
func between(s, prefix, end string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	s, _, ok = strings.Cut(s, end)
	return s, ok
}

func (o *object) programByName(name string) *C.struct_bpf_program {
	nameC := C.CString(name)
	defer C.free(unsafe.Pointer(nameC))
	return C.bpf_object__find_program_by_name(o.c, nameC)
}

func (o *object) mapByName(name string) *C.struct_bpf_map {
	nameC := C.CString(name)
	defer C.free(unsafe.Pointer(nameC))
	return C.bpf_object__find_map_by_name(o.c, nameC)
}

// programRefusal returns the likely reason why the kernel refused a program with EPERM, or "".
func (o *object) programRefusal(name string) string {
	c := o.programByName(name)
	if c == nil {
		return ""
	}
	return programRefusal(BPFProgType(C.bpf_program__type(c)))
}

// programRefusal returns the likely reason why the kernel refused a program of this type with EPERM.
func programRefusal(progType BPFProgType) string {
	needed := capabilitiesAfterEPERM(progType)
	text := fmt.Sprintf("programs of type %v need %s, which the thread ", progType, namesOf(needed))
	switch missing := effectiveCapabilities().lacking(needed); {
	case len(missing) == 0:
		text += "has; a lockdown, a security module (LSM) or the kernel's build may refuse this type"
	case inInitialUserNamespace():
		text += "does not have"
	default:
		text += "does not have outside of its user namespace, in which a BPF token is needed"
	}
	if countsLockedMemory() {
		text += ", or the limit of locked memory (ulimit -l) is too low"
	}
	return text
}

// mapRefusal returns the likely reason why the kernel refused to create a map, or "".
func mapRefusal(err error, info BPFMapInfo) string {
	switch {
	case errors.Is(err, syscall.EPERM):
		if missing := effectiveCapabilities().lacking([]capability{unix.CAP_BPF, unix.CAP_NET_ADMIN}); len(missing) != 0 {
			return fmt.Sprintf("maps of type %v may need %s, which the thread does not have", info.Type, namesOf(missing))
		}
		if countsLockedMemory() {
			return "the limit of locked memory (ulimit -l) may be too low"
		}
		return "a security module (LSM) or the kernel's build may refuse this type"
	case errors.Is(err, syscall.E2BIG):
		return fmt.Sprintf("keys of %d bytes, values of %d bytes or %d entries are more than the kernel takes", info.KeySize, info.ValueSize, info.MaxEntries)
	case !errors.Is(err, syscall.EINVAL):
		return ""
	}
	if name := info.Name[:min(len(info.Name), C.BPF_OBJ_NAME_LEN-1)]; strings.ContainsFunc(name, notInNames) {
		return "a map's name may have letters, digits, _ and ."
	}
	wrong := violations(info)
	if len(wrong) == 0 {
		return fmt.Sprintf("the running kernel may not have maps of type %v, or not with these sizes and flags (%#x)", info.Type, info.MapFlags)
	}
	return fmt.Sprintf("a map of type %v must have %s", info.Type, strings.Join(wrong, ", "))
}

func notInNames(r rune) bool {
	isLetter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !isLetter && (r < '0' || r > '9') && r != '_' && r != '.'
}

// maxStackDepth is the default of kernel.perf_event_max_stack: how many addresses a stack trace may have.
const maxStackDepth = 127

// violations returns the kernel's requirements for a map of this type that the map doesn't meet.
func violations(info BPFMapInfo) (wrong []string) {
	must := func(ok bool, text string) {
		if !ok {
			wrong = append(wrong, text)
		}
	}
	noKeys := func() { must(info.KeySize == 0, "no keys (of size 0)") }
	indexed := func() { must(info.KeySize == 4, "keys of 4 bytes") }
	values := func() { must(info.ValueSize > 0, "values of 1 byte or more") }
	entries := func() { must(info.MaxEntries > 0, "1 entry or more") }
	flag := func(flag uint32, name string) { must(info.MapFlags&flag != 0, "the flag "+name) }
	switch info.Type {
	case MapTypeRingbuf, MapTypeUserRingbuf:
		noKeys()
		must(info.ValueSize == 0, "no values (of size 0)")
		page, size := uint32(os.Getpagesize()), info.MaxEntries
		must(size != 0 && size%page == 0 && size&(size-1) == 0, fmt.Sprintf("a size that is a power of two and a multiple of the page size, %d bytes", page))
	case MapTypeQueue, MapTypeStack, MapTypeBloomFilter:
		noKeys()
		values()
		entries()
	case MapTypeArray, MapTypePerCPUArray:
		indexed()
		values()
		entries()
	case MapTypePerfEventArray, MapTypeProgArray, MapTypeCgroupArray, MapTypeArrayOfMaps, MapTypeXSKMap:
		indexed()
		must(info.ValueSize == 4, "values of 4 bytes")
		entries()
	case MapTypeDevMap, MapTypeDevmapHash, MapTypeCPUMap, MapTypeSockMap, MapTypeReusePortSockArray:
		indexed()
		must(info.ValueSize == 4 || info.ValueSize == 8, "values of 4 or 8 bytes")
		entries()
	case MapTypeStackTrace:
		indexed()
		must(info.ValueSize > 0 && info.ValueSize%8 == 0 && info.ValueSize <= 8*maxStackDepth,
			fmt.Sprintf("values of a multiple of 8 bytes, up to %d", 8*maxStackDepth))
		entries()
	case MapTypeHash, MapTypePerCPUHash, MapTypeLRUHash, MapTypeLRUPerCPUHash:
		must(info.KeySize > 0, "keys of 1 byte or more")
		values()
		entries()
	case MapTypeHashOfMaps:
		must(info.KeySize > 0, "keys of 1 byte or more")
		must(info.ValueSize == 4, "values of 4 bytes")
		entries()
	case MapTypeLPMTrie:
		must(info.KeySize >= 5 && info.KeySize <= 260, "keys of 5 to 260 bytes")
		values()
		entries()
		flag(C.BPF_F_NO_PREALLOC, "BPF_F_NO_PREALLOC")
	case MapTypeSKStorage, MapTypeInodeStorage, MapTypeTaskStorage, MapTypeCgrpStorage:
		indexed()
		values()
		must(info.MaxEntries == 0, "0 entries")
		flag(C.BPF_F_NO_PREALLOC, "BPF_F_NO_PREALLOC")
		must(info.BTFKeyTypeID != 0 && info.BTFValueTypeID != 0, "BTF types of its key and value")
	case MapTypeCgroupStorage, MapTypePerCPUCgroupStorage:
		must(info.MaxEntries == 0, "0 entries")
	case MapTypeArena:
		noKeys()
		must(info.ValueSize == 0, "no values (of size 0)")
		entries()
		flag(C.BPF_F_MMAPABLE, "BPF_F_MMAPABLE")
	}
	return wrong
}

// attachRefusal returns the likely reason why the kernel refused to attach a program, or "".
func attachRefusal(linkType LinkType, err error) string {
	is := func(errnos ...syscall.Errno) bool {
		for _, errno := range errnos {
			if errors.Is(err, errno) {
				return true
			}
		}
		return false
	}
	switch linkType {
	case Kprobe, Kretprobe:
		switch {
		case is(syscall.EADDRNOTAVAIL):
			return "several functions of the kernel have this name, attach by the address of one (AttachKprobeOffset)"
		case is(syscall.ENOENT, syscall.ESRCH):
			return "the kernel has no such function, or it may not be probed"
		case is(syscall.EILSEQ):
			return "no instruction begins there"
		case is(syscall.EPERM, syscall.EACCES):
			return eventRefusal()
		}
	case Tracepoint, PerfEvent, Uprobe, Uretprobe, USDT:
		switch {
		case is(syscall.EPERM, syscall.EACCES):
			return eventRefusal()
		case is(syscall.EEXIST):
			return "the program is attached there already"
		case is(syscall.E2BIG):
			return "the kernel's limit of programs is reached there"
		case is(syscall.ENOEXEC):
			return "no instruction that can be probed begins there"
		case linkType == USDT && is(syscall.ESRCH):
			return "the object does not include bpf/usdt.bpf.h, or the process is not there or has not mapped the file"
		}
	case RawTracepoint, Tracing, LSM:
		switch {
		case is(syscall.ENOENT):
			return "there is no such target"
		case is(syscall.EBUSY):
			return "the program, or another one, is attached there already"
		case is(syscall.E2BIG):
			return "the kernel's limit of programs is reached there"
		}
	case XDP, TCX, Netkit, Netns, Cgroup, Netfilter, SockMap:
		switch {
		case is(syscall.EBUSY, syscall.EEXIST):
			return "a program is attached there already, and does not go together with this one"
		case is(syscall.E2BIG, syscall.ERANGE):
			return "the kernel's limit of programs is reached there"
		case is(syscall.ESTALE):
			return "the programs that are attached there have changed since the revision that was expected"
		case is(syscall.EPERM):
			return rightRefusal(unix.CAP_NET_ADMIN, "a program there, of this cgroup or one above, may exclude others")
		}
	}
	if is(syscall.EBUSY, syscall.EEXIST) {
		return "something is attached there already"
	}
	return ""
}

// eventRefusal returns the likely reason why the kernel refused a perf event.
func eventRefusal() string {
	return rightRefusal(unix.CAP_PERFMON, "a lockdown, a security module (LSM) or the kernel's build may refuse it")
}

func rightRefusal(needed capability, otherwise string) string {
	if missing := effectiveCapabilities().lacking([]capability{needed}); len(missing) != 0 {
		return "the thread does not have " + namesOf(missing)
	}
	return otherwise
}
