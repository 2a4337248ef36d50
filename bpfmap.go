package libbpfgo

/*
#cgo noescape golibbpf_map_lookup
#cgo nocallback golibbpf_map_lookup
#cgo noescape golibbpf_map_lookup_and_delete
#cgo nocallback golibbpf_map_lookup_and_delete
#cgo noescape golibbpf_map_update
#cgo nocallback golibbpf_map_update
#cgo noescape golibbpf_map_delete
#cgo nocallback golibbpf_map_delete
#cgo noescape golibbpf_map_next_key
#cgo nocallback golibbpf_map_next_key
#cgo noescape golibbpf_map_lookup_batch
#cgo nocallback golibbpf_map_lookup_batch
#cgo noescape golibbpf_map_lookup_and_delete_batch
#cgo nocallback golibbpf_map_lookup_and_delete_batch
#cgo noescape golibbpf_map_update_batch
#cgo nocallback golibbpf_map_update_batch
#cgo noescape golibbpf_map_delete_batch
#cgo nocallback golibbpf_map_delete_batch
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// String returns the type's name in C, such as "BPF_MAP_TYPE_RINGBUF"; that of [MapTypeUnspec] for a
// value that isn't known.
func (t MapType) String() string {
	return nameOf(namesMapType[:], t, namesMapType[MapTypeUnspec])
}

// Name returns libbpf's name of the type, such as "ringbuf"; the empty string if the linked libbpf
// doesn't know it.
//
// Implements: libbpf_bpf_map_type_str
func (t MapType) Name() string {
	return C.GoString(C.libbpf_bpf_map_type_str(C.enum_bpf_map_type(t)))
}

// MapFlag qualifies an operation on a map's element, or the making of a map.
type MapFlag uint32

// MapFlagFLock is MapFlagLock by itself. Its number, which programs for libbpfgo have compiled in, means
// nothing to the kernel; it can't be combined with others.
const MapFlagFLock MapFlag = MapFlagUpdateNoExist | MapFlagUpdateExist

// element returns what the kernel calls flags in operations on elements.
func (flags MapFlag) element() C.__u64 {
	if flags == MapFlagFLock {
		flags = MapFlagLock
	}
	return C.__u64(flags)
}

// CalcMapValueSize returns the size in bytes of what an element operation reads or writes: the
// value's size, for per-CPU maps that size rounded up to 8 for each possible CPU.
func CalcMapValueSize(valueSize int, mapType MapType) (int, error) {
	if valueSize <= 0 {
		return 0, fmt.Errorf("value size must be greater than 0, not %d: %w", valueSize, syscall.EINVAL)
	}
	switch mapType {
	case MapTypePerCPUHash, MapTypePerCPUArray, MapTypeLRUPerCPUHash, MapTypePerCPUCgroupStorage:
		cpus, err := NumPossibleCPUs()
		if err != nil {
			return 0, err
		}
		return (valueSize + 7) / 8 * 8 * cpus, nil
	}
	return valueSize, nil
}

// A BPFMap is a map of a [Module], which owns it.
//
// All methods may be called from several goroutines; operations on elements run side by side.
//
// Keys and values that are passed as unsafe.Pointer point to the first byte of [BPFMap.KeySize]
// bytes and of as many as [CalcMapValueSize] says. The methods that take slices check their length.
// The bytes may be a part of anything, such as a struct with Go pointers. Queues, stacks and bloom filters
// have no keys: theirs is nil or, for the methods that take slices, an empty slice.
//
// The zero value is a map that is closed. So is nil, except that the methods which a BPFMap has in common with a
// [BPFMapLow] panic: they are promoted from a struct in it, which nil doesn't have.
type BPFMap struct {
	elements
	module *Module
	c      *C.struct_bpf_map
	// unread is apart from the map, as its readers hold it.
	unread *unread
}

func newBPFMap(m *Module, c *C.struct_bpf_map) *BPFMap {
	bpfMap := &BPFMap{module: m, c: c, unread: new(unread)}
	bpfMap.guard = &m.object.guard
	bpfMap.name = C.GoString(C.bpf_map__name(c))
	bpfMap.refresh()
	return bpfMap
}

// refresh takes over what libbpf knows of the map, under the object's lock.
func (m *BPFMap) refresh() {
	m.fd = -1
	if C.bpf_map__autocreate(m.c) {
		// For the others, libbpf has the descriptor of a map that is none.
		m.fd = C.bpf_map__fd(m.c)
	}
	m.mapType = MapType(C.bpf_map__type(m.c))
	m.keySize = int(C.bpf_map__key_size(m.c))
	m.valueSize = int(C.bpf_map__value_size(m.c))
	m.maxEntries = uint32(C.bpf_map__max_entries(m.c))
	if m.fd >= 0 {
		// The kernel rounds up what is divided among the CPUs (BPF_F_NO_COMMON_LRU).
		if info, err := GetMapInfoByFD(int(m.fd)); err == nil {
			m.maxEntries = info.MaxEntries
		}
	}
}

// in returns the operations on the map's elements; for nil, those of a map that is closed.
func (m *BPFMap) in() *elements {
	if m == nil {
		return noElements
	}
	return &m.elements
}

// Module returns the module that the map belongs to.
func (m *BPFMap) Module() *Module {
	if m == nil {
		return nil
	}
	return m.module
}

// GetModule is the older name of [BPFMap.Module].
//
// Deprecated: use Module.
func (m *BPFMap) GetModule() *Module {
	return m.Module()
}

// GetName is the older name of Name.
//
// Deprecated: use Name.
func (m *BPFMap) GetName() string {
	return m.in().name
}

// GetFd is the older name of FileDescriptor.
//
// Deprecated: use FileDescriptor.
func (m *BPFMap) GetFd() int {
	return m.in().FileDescriptor()
}

// property returns a property of the map; the zero value once the module is closed.
func property[T any](m *BPFMap, get func(*C.struct_bpf_map) T) (value T) {
	if m.in().guard.use() != nil {
		return value
	}
	defer m.guard.done()
	return get(m.c)
}

// MaxEntries returns the map's capacity: in elements, or in bytes for ring buffers; 0 once the
// module is closed.
//
// Implements: bpf_map__max_entries
func (m *BPFMap) MaxEntries() uint32 {
	return property(m, func(c *C.struct_bpf_map) uint32 { return uint32(C.bpf_map__max_entries(c)) })
}

// GetMaxEntries is the older name of [BPFMap.MaxEntries].
//
// Deprecated: use MaxEntries.
func (m *BPFMap) GetMaxEntries() uint32 {
	return m.MaxEntries()
}

// SetMaxEntries sets the map's capacity: in elements, in bytes for ring buffers, in pages for arenas. It must
// be called before the load. The maps behind global variables have one element, always, and an arena has room
// for the variables in it: EINVAL otherwise.
//
// Implements: bpf_map__set_max_entries
func (m *BPFMap) SetMaxEntries(maxEntries uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set capacity of map %q to %d", m.in().name, maxEntries), func() error {
		if maxEntries != 1 && bool(C.bpf_map__is_internal(m.c)) {
			return errVariables
		}
		// bpf_object__create_maps of libbpf 1.7 copies them to the arena, however small it is.
		if pages := arenaPages(m.initialValue()); m.mapType == MapTypeArena && maxEntries < pages {
			return fmt.Errorf("its variables take %d pages: %w", pages, syscall.EINVAL)
		}
		return codeOf(C.bpf_map__set_max_entries(m.c, C.__u32(maxEntries)))
	})
}

// Resize is the older name of [BPFMap.SetMaxEntries].
//
// Deprecated: use SetMaxEntries.
func (m *BPFMap) Resize(maxEntries uint32) error {
	return m.SetMaxEntries(maxEntries)
}

// Pin keeps the map in a BPF file system, at pinPath or, if that is empty, where its definition
// says.
//
// Implements: bpf_map__pin
func (m *BPFMap) Pin(pinPath string) error {
	return m.pinned(fmt.Sprintf("pin map %q at %q", m.in().name, pinPath), pinPath, func(path *C.char) C.int {
		return C.bpf_map__pin(m.c, path)
	})
}

// Unpin removes the map from the BPF file system.
//
// Implements: bpf_map__unpin
func (m *BPFMap) Unpin(pinPath string) error {
	return m.pinned(fmt.Sprintf("unpin map %q from %q", m.in().name, pinPath), pinPath, func(path *C.char) C.int {
		return C.bpf_map__unpin(m.c, path)
	})
}

func (m *BPFMap) pinned(what, path string, do func(*C.char) C.int) error {
	return m.change(what, func() error {
		if path == "" {
			return codeOf(do(nil))
		}
		pathC, err := cString(path)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(pathC))
		return codeOf(do(pathC))
	})
}

// PinPath returns where the map is or is going to be pinned; the empty string if it isn't.
//
// Implements: bpf_map__pin_path
func (m *BPFMap) PinPath() string {
	return property(m, func(c *C.struct_bpf_map) string { return C.GoString(C.bpf_map__pin_path(c)) })
}

// GetPinPath is the older name of [BPFMap.PinPath].
//
// Deprecated: use PinPath.
func (m *BPFMap) GetPinPath() string {
	return m.PinPath()
}

// SetPinPath sets where the map is pinned: at the load, where a map of the same kind that is pinned
// there already is used instead of a new one, or by [BPFMap.Pin]. The empty string stands for none.
//
// Implements: bpf_map__set_pin_path
func (m *BPFMap) SetPinPath(pinPath string) error {
	return m.pinned(fmt.Sprintf("set pin path of map %q to %q", m.in().name, pinPath), pinPath, func(path *C.char) C.int {
		return C.bpf_map__set_pin_path(m.c, path)
	})
}

// IsPinned tells whether the map is pinned.
//
// Implements: bpf_map__is_pinned
func (m *BPFMap) IsPinned() bool {
	return property(m, func(c *C.struct_bpf_map) bool { return bool(C.bpf_map__is_pinned(c)) })
}

// change runs a call that changes the map.
func (m *BPFMap) change(what string, call func() error) error {
	if err := m.in().guard.lock(); err != nil {
		return failed(err, "%s", what)
	}
	defer m.guard.unlock()
	defer m.refresh()
	return watched(what, call)
}

// changeBeforeLoad is change for what must be done before the load.
func (m *BPFMap) changeBeforeLoad(what string, call func() error) error {
	return m.change(what, func() error { return m.module.object.stage.beforeLoad(call()) })
}

// set runs a setter of libbpf's, which must be called before the load.
func (m *BPFMap) set(what string, value any, call func() C.int) error {
	return m.changeBeforeLoad(fmt.Sprintf("set %s of map %q to %v", what, m.in().name, value), func() error { return codeOf(call()) })
}

// errVariables is that of a change which a map behind variables can't have: libbpf has mapped its memory for
// the process, and would take it for smaller or larger.
var errVariables = fmt.Errorf("it holds variables: %w", syscall.EINVAL)

// arenaPages returns how many pages of an arena its variables take.
func arenaPages(variables []byte) uint32 {
	page := os.Getpagesize()
	return uint32((len(variables) + page - 1) / page)
}

// retype returns an error if libbpf doesn't survive that the map becomes one of another type. It has memory for
// variables, struct_ops and arenas that depends on the type, and what it initializes a map with are maps or programs,
// depending on the type (init_map_in_map_slots, init_prog_array_slots; libbpf 1.7).
func (m *BPFMap) retype(mapType MapType) error {
	if mapType == m.mapType {
		return nil
	}
	if m.holdsVariables() {
		return errVariables
	}
	for _, t := range []MapType{MapTypeStructOps, MapTypeArena} {
		if mapType == t || m.mapType == t {
			return fmt.Errorf("only its definition can make a map %s: %w", t.Name(), syscall.EINVAL)
		}
	}
	if m.module.object.references && (mapType == MapTypeProgArray || m.mapType == MapTypeProgArray) {
		return fmt.Errorf("maps of the object are initialized with references: %w", syscall.EINVAL)
	}
	return nil
}

// holdsVariables tells whether libbpf has memory for what the map holds.
func (m *BPFMap) holdsVariables() bool {
	return bool(C.bpf_map__is_internal(m.c)) || m.initialValue() != nil
}

// SetType sets the map's type, before the load. The maps behind global variables keep theirs, and no map becomes
// or stops being one of struct_ops or an arena: EINVAL. If the object initializes maps with references to others or
// to programs, that is so for program arrays, too.
//
// Implements: bpf_map__set_type
func (m *BPFMap) SetType(mapType MapType) error {
	return m.changeBeforeLoad(fmt.Sprintf("set type of map %q to %v", m.in().name, mapType), func() error {
		if err := m.retype(mapType); err != nil {
			return err
		}
		return codeOf(C.bpf_map__set_type(m.c, C.enum_bpf_map_type(mapType)))
	})
}

// SetKeySize sets the size of the map's keys in bytes, before the load.
//
// Implements: bpf_map__set_key_size
func (m *BPFMap) SetKeySize(size uint32) error {
	return m.set("key size", size, func() C.int { return C.bpf_map__set_key_size(m.c, C.__u32(size)) })
}

// SetValueSize sets the size of the map's values in bytes, before the load. The map behind the
// global variables of a section can be resized, too, if its last variable is an array, with libbpf 1.3;
// .kconfig doesn't become smaller.
//
// Implements: bpf_map__set_value_size
func (m *BPFMap) SetValueSize(size uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set value size of map %q to %d", m.in().name, size), func() error {
		if m.holdsVariables() && int64(size) != int64(m.valueSize) {
			// Older ones leave the memory as it is, and unmap what it would be then.
			if err := needLibbpf(1, 3, "bpf_map__set_value_size for .data and .bss"); err != nil {
				return err
			}
		}
		// bpf_object__resolve_externs of libbpf 1.7 writes all of them.
		if int64(size) < int64(m.valueSize) && bool(C.bpf_map__is_internal(m.c)) && strings.HasSuffix(m.name, ".kconfig") {
			return errVariables
		}
		return codeOf(C.bpf_map__set_value_size(m.c, C.__u32(size)))
	})
}

// MapFlags returns the flags that the map is created with (BPF_F_NO_PREALLOC and so on).
//
// Implements: bpf_map__map_flags
func (m *BPFMap) MapFlags() MapFlag {
	return property(m, func(c *C.struct_bpf_map) MapFlag { return MapFlag(C.bpf_map__map_flags(c)) })
}

// SetMapFlags sets the flags that the map is created with, before the load.
//
// Implements: bpf_map__set_map_flags
func (m *BPFMap) SetMapFlags(flags MapFlag) error {
	return m.set("flags", flags, func() C.int { return C.bpf_map__set_map_flags(m.c, C.__u32(flags)) })
}

// MapExtra returns what the map's type makes of it, such as a bloom filter's number of hashes.
//
// Implements: bpf_map__map_extra
func (m *BPFMap) MapExtra() uint64 {
	return property(m, func(c *C.struct_bpf_map) uint64 { return uint64(C.bpf_map__map_extra(c)) })
}

// SetMapExtra sets [BPFMap.MapExtra], before the load.
//
// Implements: bpf_map__set_map_extra
func (m *BPFMap) SetMapExtra(extra uint64) error {
	return m.set("map_extra", extra, func() C.int { return C.bpf_map__set_map_extra(m.c, C.__u64(extra)) })
}

// NUMANode returns the node that the map's memory is taken from, if its flags have
// BPF_F_NUMA_NODE.
//
// Implements: bpf_map__numa_node
func (m *BPFMap) NUMANode() uint32 {
	return property(m, func(c *C.struct_bpf_map) uint32 { return uint32(C.bpf_map__numa_node(c)) })
}

// SetNUMANode sets [BPFMap.NUMANode], before the load.
//
// Implements: bpf_map__set_numa_node
func (m *BPFMap) SetNUMANode(node uint32) error {
	return m.set("NUMA node", node, func() C.int { return C.bpf_map__set_numa_node(m.c, C.__u32(node)) })
}

// IfIndex returns the index of the network interface that the map is offloaded to; 0 for none.
//
// Implements: bpf_map__ifindex
func (m *BPFMap) IfIndex() uint32 {
	return property(m, func(c *C.struct_bpf_map) uint32 { return uint32(C.bpf_map__ifindex(c)) })
}

// SetIfIndex sets [BPFMap.IfIndex], before the load.
//
// Implements: bpf_map__set_ifindex
func (m *BPFMap) SetIfIndex(ifIndex uint32) error {
	return m.set("interface index", ifIndex, func() C.int { return C.bpf_map__set_ifindex(m.c, C.__u32(ifIndex)) })
}

// Autocreate tells whether the map is created with the load.
//
// Implements: bpf_map__autocreate
func (m *BPFMap) Autocreate() bool {
	return property(m, func(c *C.struct_bpf_map) bool { return bool(C.bpf_map__autocreate(c)) })
}

// SetAutocreate sets whether the map is created with the load, which it is unless told otherwise. A
// program that uses a map that isn't created is rejected.
//
// Implements: bpf_map__set_autocreate
func (m *BPFMap) SetAutocreate(autocreate bool) error {
	return m.set("autocreate", autocreate, func() C.int { return C.bpf_map__set_autocreate(m.c, C.bool(autocreate)) })
}

// BTFKeyTypeID returns the id of the keys' type in the object's BTF; 0 for none.
//
// Implements: bpf_map__btf_key_type_id
func (m *BPFMap) BTFKeyTypeID() uint32 {
	return property(m, func(c *C.struct_bpf_map) uint32 { return uint32(C.bpf_map__btf_key_type_id(c)) })
}

// BTFValueTypeID returns the id of the values' type in the object's BTF; 0 for none.
//
// Implements: bpf_map__btf_value_type_id
func (m *BPFMap) BTFValueTypeID() uint32 {
	return property(m, func(c *C.struct_bpf_map) uint32 { return uint32(C.bpf_map__btf_value_type_id(c)) })
}

// IsInternal tells whether libbpf made the map, for global variables and the like.
//
// Implements: bpf_map__is_internal
func (m *BPFMap) IsInternal() bool {
	return property(m, func(c *C.struct_bpf_map) bool { return bool(C.bpf_map__is_internal(c)) })
}

// InitialValue returns a copy of what the global variables of a map's section begin with.
//
// Implements: bpf_map__initial_value
func (m *BPFMap) InitialValue() ([]byte, error) {
	var value []byte
	err := m.change(fmt.Sprintf("get initial value of map %q", m.in().name), func() (err error) {
		if value, err = m.newValue(0); err == nil {
			copy(value, m.initialValue())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// SetInitialValue sets what the global variables of a map's section begin with, before the load.
// The value has [BPFMap.ValueSize] bytes.
//
// Implements: bpf_map__set_initial_value
func (m *BPFMap) SetInitialValue(value unsafe.Pointer) error {
	return m.changeBeforeLoad(fmt.Sprintf("set initial value of map %q", m.in().name), func() error {
		if value == nil {
			return fmt.Errorf("nil value: %w", syscall.EINVAL)
		}
		return codeOf(C.golibbpf_map_set_initial_value(m.c, (*C.char)(value), C.size_t(m.valueSize)))
	})
}

// ReuseFD makes the map another one, which fd is a descriptor of: it is duplicated, what the map was
// is closed. Before the load, the object's programs use that map. For a map that holds global variables, it
// must have the same sizes. What [BPFMap.SetType] refuses can't be another's type either.
//
// Implements: bpf_map__reuse_fd
func (m *BPFMap) ReuseFD(fd int) error {
	return m.changeBeforeLoad(fmt.Sprintf("reuse descriptor %d as map %q", fd, m.in().name), func() error {
		// libbpf believes /proc where the kernel says that it is no map.
		info, err := GetMapInfoByFD(fd)
		if err != nil {
			return err
		}
		if err := m.retype(info.Type); err != nil {
			return err
		}
		same := int(info.ValueSize) == m.valueSize && info.MaxEntries == uint32(C.bpf_map__max_entries(m.c))
		if !same && m.holdsVariables() {
			return errVariables
		}
		return codeOf(C.bpf_map__reuse_fd(m.c, C.int(fd)))
	})
}

// ErrNoInnerMap is, as it is, the error of [BPFMap.InnerMapInfo] for a map that holds no maps.
var ErrNoInnerMap = errors.New("map has no inner map")

// InnerMapInfo describes the maps that a map of maps holds, as its definition does. It must be called
// before the load.
//
// Implements: bpf_map__inner_map
func (m *BPFMap) InnerMapInfo() (*BPFMapInfo, error) {
	var info *BPFMapInfo
	err := m.change(fmt.Sprintf("get inner map of map %q", m.in().name), func() error {
		c, errno := C.bpf_map__inner_map(m.c)
		if c == nil {
			if errno == nil || errno == syscall.EINVAL {
				return ErrNoInnerMap
			}
			return pointerError(errno)
		}
		info = &BPFMapInfo{
			Type:           MapType(C.bpf_map__type(c)),
			KeySize:        uint32(C.bpf_map__key_size(c)),
			ValueSize:      uint32(C.bpf_map__value_size(c)),
			MaxEntries:     uint32(C.bpf_map__max_entries(c)),
			MapFlags:       uint32(C.bpf_map__map_flags(c)),
			Name:           C.GoString(C.bpf_map__name(c)),
			IfIndex:        uint32(C.bpf_map__ifindex(c)),
			BTFKeyTypeID:   uint32(C.bpf_map__btf_key_type_id(c)),
			BTFValueTypeID: uint32(C.bpf_map__btf_value_type_id(c)),
			MapExtra:       uint64(C.bpf_map__map_extra(c)),
		}
		return nil
	})
	if errors.Is(err, ErrNoInnerMap) {
		return nil, ErrNoInnerMap
	}
	return info, err
}

// SetInnerMap makes the maps that a map of maps holds like the one that templateMapFD is a
// descriptor of, which may be closed after the load. It must be called before.
//
// Implements: bpf_map__set_inner_map_fd
func (m *BPFMap) SetInnerMap(templateMapFD int) error {
	return m.changeBeforeLoad(fmt.Sprintf("set inner map of map %q", m.in().name), func() error {
		if templateMapFD < 0 {
			return fmt.Errorf("descriptor %d: %w", templateMapFD, syscall.EBADF)
		}
		fd, err := cInt(templateMapFD, "descriptor")
		if err != nil {
			return err
		}
		return codeOf(C.bpf_map__set_inner_map_fd(m.c, fd))
	})
}

// AttachStructOps registers the kernel operations that a struct_ops map consists of, such as a TCP
// congestion control. It lasts as long as the link.
//
// Implements: bpf_map__attach_struct_ops
func (m *BPFMap) AttachStructOps() (*BPFLink, error) {
	return m.Module().attach(nil, StructOps, m.in().name, fmt.Sprintf("attach struct_ops map %q", m.in().name), func() (*C.struct_bpf_link, error) {
		c, errno := C.bpf_map__attach_struct_ops(m.c)
		return c, errno
	})
}

// LookupAndDeleteElem copies the value of key to value, of valueSize bytes, and removes the key.
// valueSize must be what [CalcMapValueSize] gives. Queues and stacks have no keys: key is nil.
//
// Implements: bpf_map__lookup_and_delete_elem
func (m *BPFMap) LookupAndDeleteElem(key, value unsafe.Pointer, valueSize uint64, flags MapFlag) error {
	return m.in().operate("look up and delete in", func() error {
		size, err := CalcMapValueSize(m.valueSize, m.mapType)
		if err != nil {
			return err
		}
		if valueSize != uint64(size) {
			return fmt.Errorf("value of %d bytes, the map's have %d: %w", valueSize, size, syscall.EINVAL)
		}
		return m.lookupAndDelete(key, value, flags)
	})
}

// initialValue returns libbpf's memory for what the map begins with, nil if it has none, under the object's lock.
func (m *BPFMap) initialValue() []byte {
	var size C.size_t
	p := C.golibbpf_map_initial_value(m.c, m.module.object.c, &size)
	return unsafe.Slice((*byte)(p), int(size))
}

// elements are the operations on the elements of a map that is known by its descriptor. The zero value is that of
// a map that is closed.
type elements struct {
	guard *guard

	// Guarded by guard. fd is negative until the map is created; the name changes only where a map
	// is known by its descriptor.
	name               string
	fd                 C.int
	mapType            MapType
	keySize, valueSize int
	maxEntries         uint32
}

// noElements are those of nil.
var noElements = new(elements)

// known returns what is known of a map, also after it was closed.
func known[T any](guard *guard, value *T) T {
	if guard != nil {
		guard.mutex.RLock()
		defer guard.mutex.RUnlock()
	}
	return *value
}

// Name returns the map's name.
//
// Implements: bpf_map__name
func (e *elements) Name() string {
	return known(e.guard, &e.name)
}

// FileDescriptor returns the map's file descriptor, which belongs to the map; -1 if it isn't
// created yet or is closed.
//
// Implements: bpf_map__fd
func (e *elements) FileDescriptor() int {
	if e.guard.use() != nil {
		return -1
	}
	defer e.guard.done()
	return int(e.fd)
}

// Type returns the map's type.
//
// Implements: bpf_map__type
func (e *elements) Type() MapType {
	return known(e.guard, &e.mapType)
}

// KeySize returns the size of the map's keys in bytes.
//
// Implements: bpf_map__key_size
func (e *elements) KeySize() int {
	return known(e.guard, &e.keySize)
}

// ValueSize returns the size of the map's values in bytes; for per-CPU maps, of one CPU's.
//
// Implements: bpf_map__value_size
func (e *elements) ValueSize() int {
	return known(e.guard, &e.valueSize)
}

// GetValue returns a copy of the value of key. If there is none, errors.Is(err, syscall.ENOENT)
// holds.
//
// Implements: bpf_map__lookup_elem, bpf_map_lookup_elem
func (e *elements) GetValue(key unsafe.Pointer) ([]byte, error) {
	return e.GetValueFlags(key, MapFlagUpdateAny)
}

// GetValueFlags is GetValue with flags: [MapFlagLock] takes the element's spin lock.
//
// Implements: bpf_map_lookup_elem_flags
func (e *elements) GetValueFlags(key unsafe.Pointer, flags MapFlag) ([]byte, error) {
	var value []byte
	err := e.operate("look up in", func() (err error) {
		value, err = e.newValue(flags)
		if err != nil {
			return err
		}
		return e.lookup(key, value, flags)
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// GetValueReadInto copies the value of key to the slice that value points to, whose length must be
// the value's size as [CalcMapValueSize] gives it.
//
// Deprecated: use GetValue, or LookupElem, which doesn't allocate either.
func (e *elements) GetValueReadInto(key unsafe.Pointer, value *[]byte) error {
	return e.operate("look up in", func() error {
		if value == nil {
			return fmt.Errorf("nil value: %w", syscall.EINVAL)
		}
		if err := e.checkValue(*value, 0); err != nil {
			return err
		}
		return e.lookup(key, *value, 0)
	})
}

// LookupElem copies the value of key to value. The lengths of both must be the map's; for a per-CPU
// map, value has room for all CPUs ([CalcMapValueSize]), except with [MapFlagCPU]. If there is no such
// key, errors.Is(err, syscall.ENOENT) holds; a wrong length is syscall.EINVAL.
//
// Implements: bpf_map__lookup_elem
func (e *elements) LookupElem(key, value []byte, flags MapFlag) error {
	return e.operate("look up in", func() error {
		if err := errors.Join(e.checkKey(key), e.checkValue(value, flags)); err != nil {
			return err
		}
		return e.lookup(unsafe.Pointer(first(key)), value, flags)
	})
}

// Update creates or replaces the value of key.
//
// Implements: bpf_map__update_elem, bpf_map_update_elem
func (e *elements) Update(key, value unsafe.Pointer) error {
	return e.UpdateValueFlags(key, value, MapFlagUpdateAny)
}

// UpdateValueFlags is Update with flags. With [MapFlagUpdateNoExist], errors.Is(err, syscall.EEXIST)
// holds if the key is there; with [MapFlagUpdateExist], syscall.ENOENT if it isn't.
//
// Implements: bpf_map__update_elem, bpf_map_update_elem
func (e *elements) UpdateValueFlags(key, value unsafe.Pointer, flags MapFlag) error {
	return e.operate("update", func() error { return e.update(key, value, flags) })
}

// UpdateElem creates or replaces the value of key. The lengths of both must be the map's; for a
// per-CPU map, value has a value for each possible CPU ([CalcMapValueSize]), except with [MapFlagCPU]
// and [MapFlagAllCPUs]. A wrong length is syscall.EINVAL.
//
// Implements: bpf_map__update_elem
func (e *elements) UpdateElem(key, value []byte, flags MapFlag) error {
	return e.operate("update", func() error {
		if err := errors.Join(e.checkKey(key), e.checkValue(value, flags)); err != nil {
			return err
		}
		return e.update(unsafe.Pointer(first(key)), unsafe.Pointer(unsafe.SliceData(value)), flags)
	})
}

// DeleteKey removes key and its value. If it isn't there, errors.Is(err, syscall.ENOENT) holds.
//
// Implements: bpf_map__delete_elem, bpf_map_delete_elem
func (e *elements) DeleteKey(key unsafe.Pointer) error {
	return e.operate("delete from", func() error { return e.delete(key) })
}

// DeleteElem removes key and its value. A wrong length is syscall.EINVAL; if the key isn't there,
// errors.Is(err, syscall.ENOENT) holds.
//
// Implements: bpf_map__delete_elem
func (e *elements) DeleteElem(key []byte) error {
	return e.operate("delete from", func() error {
		if err := e.checkKey(key); err != nil {
			return err
		}
		return e.delete(unsafe.Pointer(first(key)))
	})
}

// GetNextKey writes the key that follows key to nextKey, the first one if key is nil or isn't
// there. After the last, errors.Is(err, syscall.ENOENT) holds.
//
// Implements: bpf_map__get_next_key, bpf_map_get_next_key
func (e *elements) GetNextKey(key unsafe.Pointer, nextKey unsafe.Pointer) error {
	return e.operate("get next key of", func() error { return e.next(key, nextKey) })
}

var errNotCreated = fmt.Errorf("map is not created, load the object first: %w", syscall.ENOENT)

// GetValueAndDeleteKey returns a copy of the value of key and removes the key. For queues and stacks,
// key is nil.
//
// Implements: bpf_map_lookup_and_delete_elem
func (e *elements) GetValueAndDeleteKey(key unsafe.Pointer) ([]byte, error) {
	return e.GetValueAndDeleteKeyFlags(key, MapFlagUpdateAny)
}

// GetValueAndDeleteKeyFlags is GetValueAndDeleteKey with flags: [MapFlagLock] takes the element's
// spin lock. It needs Linux 5.14 for hash maps.
//
// Implements: bpf_map_lookup_and_delete_elem_flags
func (e *elements) GetValueAndDeleteKeyFlags(key unsafe.Pointer, flags MapFlag) ([]byte, error) {
	var value []byte
	err := e.operate("look up and delete in", func() (err error) {
		if value, err = e.newValue(0); err != nil {
			return err
		}
		return e.lookupAndDelete(key, unsafe.Pointer(unsafe.SliceData(value)), flags)
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// GetValueBatch reads up to count elements in one system call: their keys go to keys, which has
// room for count of them, their values are returned with their number. It begins where startKey
// says, which the call before wrote to nextKey; nil is the beginning. Both point to room for a key,
// of 4 bytes at least.
//
// There may be fewer than count elements although others follow: go on until
// errors.Is(err, syscall.ENOENT) holds, which says that there were none any more. With syscall.ENOSPC,
// a bucket of a hash map holds more than count. It needs Linux 5.6.
//
// Implements: bpf_map_lookup_batch
func (e *elements) GetValueBatch(keys, startKey, nextKey unsafe.Pointer, count uint32) ([][]byte, uint32, error) {
	return e.lookupBatch("look up a batch in", keys, startKey, nextKey, count, func(values *C.char, n *C.__u32) C.int {
		return C.golibbpf_map_lookup_batch(e.fd, (*C.char)(startKey), (*C.char)(nextKey), (*C.char)(keys), values, n)
	})
}

// GetValueAndDeleteBatch is GetValueBatch that also removes the elements it returns.
//
// Implements: bpf_map_lookup_and_delete_batch
func (e *elements) GetValueAndDeleteBatch(keys, startKey, nextKey unsafe.Pointer, count uint32) ([][]byte, uint32, error) {
	return e.lookupBatch("look up and delete a batch in", keys, startKey, nextKey, count, func(values *C.char, n *C.__u32) C.int {
		return C.golibbpf_map_lookup_and_delete_batch(e.fd, (*C.char)(startKey), (*C.char)(nextKey), (*C.char)(keys), values, n)
	})
}

func (e *elements) lookupBatch(what string, keys, startKey, nextKey unsafe.Pointer, count uint32, call func(*C.char, *C.__u32) C.int) ([][]byte, uint32, error) {
	var list [][]byte
	err := e.operate(what, func() error {
		if keys == nil || nextKey == nil {
			return fmt.Errorf("nil keys or next key: %w", syscall.EFAULT)
		}
		size, err := CalcMapValueSize(e.valueSize, e.mapType)
		if err != nil {
			return err
		}
		// More than the map holds never come.
		n := C.__u32(min(count, e.maxEntries))
		values := make([]byte, size*int(n))
		err = codeOf(call(bytesC(values), &n))
		if err != nil && (err != syscall.ENOENT || n == 0) {
			return err
		}
		list = make([][]byte, n)
		for i := range list {
			list[i] = values[i*size : (i+1)*size : (i+1)*size]
		}
		return nil
	})
	return list, uint32(len(list)), err
}

// UpdateBatch creates or replaces count elements, whose keys and values follow each other at keys
// and values, in one system call, and returns how many it did. If that are fewer, the map is full.
// It needs Linux 5.6.
//
// Implements: bpf_map_update_batch
func (e *elements) UpdateBatch(keys, values unsafe.Pointer, count uint32) (uint32, error) {
	n := C.__u32(count)
	return e.changeBatch("update a batch of", &n, syscall.E2BIG, func() C.int {
		if keys == nil || values == nil {
			return -C.EFAULT
		}
		return C.golibbpf_map_update_batch(e.fd, (*C.char)(keys), (*C.char)(values), &n)
	})
}

// DeleteKeyBatch removes count elements, whose keys follow each other at keys, in one system call,
// and returns how many it did. If that are fewer, the next key isn't there. It needs Linux 5.6.
//
// Implements: bpf_map_delete_batch
func (e *elements) DeleteKeyBatch(keys unsafe.Pointer, count uint32) (uint32, error) {
	n := C.__u32(count)
	return e.changeBatch("delete a batch from", &n, syscall.ENOENT, func() C.int {
		if keys == nil {
			return -C.EFAULT
		}
		return C.golibbpf_map_delete_batch(e.fd, (*C.char)(keys), &n)
	})
}

// changeBatch runs an operation on many elements, which writes how many it did to n. It may have done some
// of them when it gives the error partial.
func (e *elements) changeBatch(what string, n *C.__u32, partial error, call func() C.int) (uint32, error) {
	err := e.operate(what, func() error {
		err := codeOf(call())
		if err == partial && *n > 0 {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return uint32(*n), nil
}

// operate runs an operation on a created map and names what failed.
func (e *elements) operate(what string, operation func() error) error {
	if err := e.guard.use(); err != nil {
		return failed(err, "%s map %q", what, e.Name())
	}
	defer e.guard.done()
	err := errNotCreated
	if e.fd >= 0 {
		err = operation()
	}
	if err != nil {
		return failed(err, "%s map %q", what, e.name)
	}
	return nil // without making the words of an error
}

func (e *elements) lookup(key unsafe.Pointer, value []byte, flags MapFlag) error {
	keyC, err := e.key(key)
	if err != nil {
		return err
	}
	return codeOf(C.golibbpf_map_lookup(e.fd, keyC, bytesC(value), flags.element()))
}

func (e *elements) lookupAndDelete(key, value unsafe.Pointer, flags MapFlag) error {
	keyC, err := e.key(key)
	if err != nil {
		return err
	}
	if value == nil {
		return errNilValue
	}
	return codeOf(C.golibbpf_map_lookup_and_delete(e.fd, keyC, (*C.char)(value), flags.element()))
}

func (e *elements) update(key, value unsafe.Pointer, flags MapFlag) error {
	keyC, err := e.key(key)
	if err != nil {
		return err
	}
	if value == nil {
		return errNilValue
	}
	return codeOf(C.golibbpf_map_update(e.fd, keyC, (*C.char)(value), flags.element()))
}

func (e *elements) delete(key unsafe.Pointer) error {
	keyC, err := e.key(key)
	if err != nil {
		return err
	}
	return codeOf(C.golibbpf_map_delete(e.fd, keyC))
}

func (e *elements) next(key, next unsafe.Pointer) error {
	if next == nil && e.keySize > 0 {
		return fmt.Errorf("nil next key: %w", syscall.EFAULT)
	}
	return codeOf(C.golibbpf_map_next_key(e.fd, (*C.char)(key), (*C.char)(next)))
}

var errNilValue = fmt.Errorf("nil value: %w", syscall.EFAULT)

// key returns what the kernel takes for a key. For what the kernel refuses it returns the kernel's error with the
// reason: maps without keys (queues, stacks, bloom filters) take nil alone, the others do not take it.
func (e *elements) key(key unsafe.Pointer) (*C.char, error) {
	switch {
	case key == nil && e.keySize > 0:
		return nil, fmt.Errorf("nil key: %w", syscall.EFAULT)
	case key != nil && e.keySize == 0:
		return nil, fmt.Errorf("the map has no keys, the key must be nil: %w", syscall.EINVAL)
	}
	return (*C.char)(key), nil
}

// bytesC returns the address of a slice's bytes. C is given *C.char throughout: cgo takes an unsafe.Pointer for one
// to anything, and panics at a Go pointer that is in the same allocation as the bytes.
func bytesC(b []byte) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b)))
}

func (e *elements) checkKey(key []byte) error {
	if len(key) != e.keySize {
		return fmt.Errorf("key of %d bytes, the map's have %d: %w", len(key), e.keySize, syscall.EINVAL)
	}
	return nil
}

func (e *elements) checkValue(value []byte, flags MapFlag) error {
	size, err := e.size(flags)
	if err != nil {
		return err
	}
	if len(value) != size {
		return fmt.Errorf("value of %d bytes, the map's have %d: %w", len(value), size, syscall.EINVAL)
	}
	return nil
}

func (e *elements) newValue(flags MapFlag) ([]byte, error) {
	size, err := e.size(flags)
	if err != nil {
		return nil, err
	}
	return make([]byte, size), nil
}

// size returns how many bytes an operation with flags reads or writes for a value.
func (e *elements) size(flags MapFlag) (int, error) {
	if flags&(MapFlagCPU|MapFlagAllCPUs) != 0 {
		return e.valueSize, nil
	}
	return CalcMapValueSize(e.valueSize, e.mapType)
}

// A BPFMapIterator walks over a map's keys, in the kernel's order. It reads one key ahead, so the current key
// may be removed: the iteration goes on behind it, one step for each key. Keys that are added or removed
// meanwhile may be found or not; one that was read ahead is found although it is removed by then.
//
// If the key that was read ahead is removed, by whomever (from an LRU map, the kernel itself removes keys), the
// kernel starts over at the first key, and keys are found again. The iteration ends all the same, after twice as
// many keys as the map has room for at the latest. If that wasn't the end of the map, Err returns an error for
// which errors.Is(err, syscall.EAGAIN) holds.
//
// An iterator is for one goroutine.
type BPFMapIterator struct {
	elements *elements
	key      []byte
	ahead    []byte // the key behind it; nil at the end
	found    uint64 // keys
	free     []byte
	err      error
}

const (
	// iteratorKeys is how many keys the iterator allocates at a time.
	iteratorKeys = 32
	// iteratorRounds is how often the iterator finds as many keys as the map has room for.
	iteratorRounds = 2
)

// Iterator returns an iterator that stands before the map's first key.
func (e *elements) Iterator() *BPFMapIterator {
	return &BPFMapIterator{elements: e}
}

// Next moves to the next key and reports whether there is one. After false, Err says whether that
// was the end. An iterator stays at the end, except in a map that had no keys: there, it begins anew.
func (it *BPFMapIterator) Next() bool {
	if it == nil || it.err != nil {
		return false
	}
	if it.elements == nil {
		it.elements = noElements
	}
	var key []byte
	it.err = it.elements.operate("get next key of", func() (err error) {
		if it.key == nil {
			it.ahead, err = it.after(nil)
		}
		if err != nil || it.ahead == nil {
			return err
		}
		// A map of cgroups' storage has the capacity 0; the kernel doesn't start over in it.
		if most := iteratorRounds * uint64(it.elements.maxEntries); it.found >= most && most > 0 {
			return fmt.Errorf("keys were removed during the iteration, which found %d in a map with room for %d: %w",
				it.found, it.elements.maxEntries, syscall.EAGAIN)
		}
		key = it.ahead
		it.ahead, err = it.after(key)
		return err
	})
	if it.err != nil || key == nil {
		return false
	}
	it.key = key
	it.found++
	return true
}

// after returns the key that follows key, the first one if key is nil; nil after the last.
func (it *BPFMapIterator) after(key []byte) ([]byte, error) {
	size := it.elements.keySize
	if size == 0 {
		return nil, fmt.Errorf("map has no keys: %w", syscall.EINVAL)
	}
	if key != nil && len(key) != size {
		return nil, fmt.Errorf("map was replaced by one with other keys: %w", syscall.EINVAL)
	}
	if len(it.free) < size {
		it.free = make([]byte, size*iteratorKeys)
	}
	next := it.free[:size:size]
	err := it.elements.next(unsafe.Pointer(unsafe.SliceData(key)), unsafe.Pointer(unsafe.SliceData(next)))
	if err == syscall.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	it.free = it.free[size:]
	return next, nil
}

// Key returns the key that the last Next found. It belongs to the caller.
func (it *BPFMapIterator) Key() []byte {
	if it == nil {
		return nil
	}
	return it.key
}

// Err returns the error that ended the iteration; nil at the end of the map.
func (it *BPFMapIterator) Err() error {
	if it == nil {
		return os.ErrClosed
	}
	return it.err
}

// BPFMapInfo is what the kernel tells of a map (struct bpf_map_info). Sizes are in bytes.
type BPFMapInfo struct {
	Type                  MapType
	ID                    uint32
	KeySize               uint32
	ValueSize             uint32
	MaxEntries            uint32
	MapFlags              uint32
	Name                  string // its first 15 bytes
	IfIndex               uint32
	BTFVmlinuxValueTypeID uint32
	NetnsDev              uint64
	NetnsIno              uint64
	BTFID                 uint32
	BTFKeyTypeID          uint32
	BTFValueTypeID        uint32
	MapExtra              uint64
}

// GetMapInfoByFD describes the map that fd is a descriptor of.
//
// Implements: bpf_obj_get_info_by_fd
func GetMapInfoByFD(fd int) (*BPFMapInfo, error) {
	var info C.struct_bpf_map_info
	size := C.__u32(unsafe.Sizeof(info))
	fdC, err := cInt(fd, "descriptor")
	if err == nil {
		err = codeOf(C.bpf_obj_get_info_by_fd(fdC, unsafe.Pointer(&info), &size))
	}
	if err != nil {
		return nil, failed(err, "get information on the map of descriptor %d", fd)
	}
	return &BPFMapInfo{
		Type:                  MapType(info._type),
		ID:                    uint32(info.id),
		KeySize:               uint32(info.key_size),
		ValueSize:             uint32(info.value_size),
		MaxEntries:            uint32(info.max_entries),
		MapFlags:              uint32(info.map_flags),
		Name:                  C.GoString(&info.name[0]),
		IfIndex:               uint32(info.ifindex),
		BTFVmlinuxValueTypeID: uint32(info.btf_vmlinux_value_type_id),
		NetnsDev:              uint64(info.netns_dev),
		NetnsIno:              uint64(info.netns_ino),
		BTFID:                 uint32(info.btf_id),
		BTFKeyTypeID:          uint32(info.btf_key_type_id),
		BTFValueTypeID:        uint32(info.btf_value_type_id),
		MapExtra:              uint64(info.map_extra),
	}, nil
}

// GetMapFDByID returns a new descriptor, which belongs to the caller, of the map that has the given
// id. It needs CAP_SYS_ADMIN.
//
// Implements: bpf_map_get_fd_by_id
func GetMapFDByID(id uint32) (int, error) {
	fd := C.bpf_map_get_fd_by_id(C.__u32(id))
	return int(fd), failed(codeOf(fd), "get the map with id %d", id)
}

// GetMapNextID returns the smallest id of a map that is larger than startId; if there is none,
// errors.Is(err, syscall.ENOENT) holds. It needs CAP_SYS_ADMIN.
//
// Implements: bpf_map_get_next_id
func GetMapNextID(startId uint32) (uint32, error) {
	id := C.__u32(startId)
	err := codeOf(C.bpf_map_get_next_id(id, &id))
	return uint32(id), failed(err, "get the map id after %d", startId)
}

// GetMapsIDsByName returns the ids above *startId of the maps of that name. The kernel keeps the first 15
// bytes of a map's name, so only these are compared: all maps are found whose names begin with the same 15
// bytes. *startId is the last id that was looked at, also after an error.
func GetMapsIDsByName(name string, startId *uint32) ([]uint32, error) {
	if startId == nil {
		return nil, failed(fmt.Errorf("nil start: %w", syscall.EINVAL), "find maps %q", name)
	}
	kernelName := name[:min(len(name), C.BPF_OBJ_NAME_LEN-1)]
	var ids []uint32
	for {
		id, err := GetMapNextID(*startId)
		if errors.Is(err, syscall.ENOENT) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		*startId = id
		bpfMap, err := GetMapByID(id)
		if errors.Is(err, syscall.ENOENT) {
			continue // it was freed meanwhile
		}
		if err != nil {
			return ids, err
		}
		if bpfMap.Name() == kernelName {
			ids = append(ids, id)
		}
		if err := bpfMap.Close(); err != nil {
			return ids, err
		}
	}
}

// A BPFMapLow is a map that is known by its descriptor alone, of whatever object, program or
// process. It owns the descriptor until [BPFMapLow.Close]; one that is dropped stays open, since
// programs that were written for libbpfgo close the descriptor themselves.
//
// All methods may be called from several goroutines; operations on elements run side by side.
//
// The zero value is a map that is closed. So is nil, except that the methods which a BPFMapLow has in common with a
// [BPFMap] panic: they are promoted from a struct in it, which nil doesn't have.
type BPFMapLow struct {
	elements
}

// BPFMapCreateOpts are the options of [CreateMap] (struct bpf_map_create_opts). The zero value stands
// for what libbpf does without them.
type BPFMapCreateOpts struct {
	BTFFD                 uint32
	BTFKeyTypeID          uint32
	BTFValueTypeID        uint32
	BTFVmlinuxValueTypeID uint32
	InnerMapFD            uint32
	MapFlags              uint32
	MapExtra              uint64
	NumaNode              uint32
	MapIfIndex            uint32
}

// CreateMap creates a map. Sizes are in bytes, maxEntries in elements, or in bytes for ring buffers.
// The first 15 bytes of mapName are the map's name; where the thread may create maps, but not load
// programs, it has none.
//
// Implements: bpf_map_create
func CreateMap(mapType MapType, mapName string, keySize, valueSize, maxEntries int, opts *BPFMapCreateOpts) (*BPFMapLow, error) {
	what := fmt.Sprintf("create map %q", mapName)
	for _, n := range []int{keySize, valueSize, maxEntries} {
		if n < 0 || n > math.MaxUint32 {
			return nil, failed(fmt.Errorf("size %d: %w", n, syscall.EINVAL), "%s", what)
		}
	}
	name, err := cString(mapName)
	if err != nil {
		return nil, failed(err, "%s", what)
	}
	defer C.free(unsafe.Pointer(name))

	options := C.struct_bpf_map_create_opts{sz: C.sizeof_struct_bpf_map_create_opts}
	if opts != nil {
		options.btf_fd = C.__u32(opts.BTFFD)
		options.btf_key_type_id = C.__u32(opts.BTFKeyTypeID)
		options.btf_value_type_id = C.__u32(opts.BTFValueTypeID)
		options.btf_vmlinux_value_type_id = C.__u32(opts.BTFVmlinuxValueTypeID)
		options.inner_map_fd = C.__u32(opts.InnerMapFD)
		options.map_flags = C.__u32(opts.MapFlags)
		options.map_extra = C.__u64(opts.MapExtra)
		options.numa_node = C.__u32(opts.NumaNode)
		options.map_ifindex = C.__u32(opts.MapIfIndex)
	}
	var fd C.int
	err = watched(what, func() error {
		name := name
		if !mayNameMaps() {
			name = nil
		}
		fd = C.bpf_map_create(C.enum_bpf_map_type(mapType), name, C.__u32(keySize), C.__u32(valueSize), C.__u32(maxEntries), &options)
		if err := codeOf(fd); err != nil {
			return because(refusedMap(err, BPFMapInfo{
				Type:           mapType,
				Name:           mapName,
				KeySize:        uint32(keySize),
				ValueSize:      uint32(valueSize),
				MaxEntries:     uint32(maxEntries),
				MapFlags:       uint32(options.map_flags),
				BTFKeyTypeID:   uint32(options.btf_key_type_id),
				BTFValueTypeID: uint32(options.btf_value_type_id),
			}), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newBPFMapLow(int(fd))
}

// GetMapByID returns the map that has the given id. It needs CAP_SYS_ADMIN.
//
// Implements: bpf_map_get_fd_by_id
func GetMapByID(id uint32) (*BPFMapLow, error) {
	fd, err := GetMapFDByID(id)
	if err != nil {
		return nil, err
	}
	return newBPFMapLow(fd)
}

// in returns the operations on the map's elements; for nil, those of a map that is closed.
func (m *BPFMapLow) in() *elements {
	if m == nil {
		return noElements
	}
	return &m.elements
}

// newBPFMapLow takes over a descriptor.
func newBPFMapLow(fd int) (*BPFMapLow, error) {
	m := &BPFMapLow{elements{guard: new(guard)}}
	if err := m.take(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return m, nil
}

// take makes the map the one of a descriptor.
func (m *BPFMapLow) take(fd int) error {
	info, err := GetMapInfoByFD(fd)
	if err != nil {
		return err
	}
	m.fd = C.int(fd)
	m.name = info.Name
	m.mapType = info.Type
	m.keySize = int(info.KeySize)
	m.valueSize = int(info.ValueSize)
	m.maxEntries = info.MaxEntries
	return nil
}

// Close closes the descriptor. Closing again does nothing.
func (m *BPFMapLow) Close() error {
	if m.in().guard.lock() != nil {
		return nil
	}
	defer m.guard.unlock()
	m.guard.closed = true
	return failed(unix.Close(int(m.fd)), "close map %q", m.name)
}

// MaxEntries returns the map's capacity: in elements, or in bytes for ring buffers.
func (m *BPFMapLow) MaxEntries() uint32 {
	elements := m.in()
	return known(elements.guard, &elements.maxEntries)
}

// ReuseFD makes the map the one that fd is a descriptor of: it is duplicated, the descriptor before
// is closed.
func (m *BPFMapLow) ReuseFD(fd int) error {
	what := fmt.Sprintf("reuse descriptor %d as map %q", fd, m.in().Name())
	if err := m.in().guard.lock(); err != nil {
		return failed(err, "%s", what)
	}
	defer m.guard.unlock()
	// The kernel would take a part of the number, as C would.
	if _, err := cInt(fd, "descriptor"); err != nil {
		return failed(err, "%s", what)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return failed(err, "%s", what)
	}
	before := int(m.fd)
	if err := m.take(dup); err != nil {
		_ = unix.Close(dup)
		return failed(err, "%s", what)
	}
	return failed(unix.Close(before), "%s", what)
}

// LookupAndDeleteElem copies the value of key to value, which has room for what [CalcMapValueSize]
// says, and removes the key. Queues and stacks have no keys: key is nil.
//
// Implements: bpf_map_lookup_and_delete_elem
func (m *BPFMapLow) LookupAndDeleteElem(key, value unsafe.Pointer) error {
	return m.LookupAndDeleteElemFlags(key, value, MapFlagUpdateAny)
}

// LookupAndDeleteElemFlags is LookupAndDeleteElem with flags: [MapFlagLock] takes the element's spin
// lock.
//
// Implements: bpf_map_lookup_and_delete_elem_flags
func (m *BPFMapLow) LookupAndDeleteElemFlags(key, value unsafe.Pointer, flags MapFlag) error {
	return m.in().operate("look up and delete in", func() error { return m.lookupAndDelete(key, value, flags) })
}
