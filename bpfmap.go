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
)

// A BPFMap is a map of a [Module], which owns it.
//
// All methods may be called from several goroutines; operations on elements run side by side.
//
// A key that is passed as unsafe.Pointer points to [BPFMap.KeySize] bytes, a value to as many bytes as
// [CalcMapValueSize] returns. The methods that take slices check their length. The bytes may be part of any memory,
// such as a struct with Go pointers. Queues, stacks and bloom filters have no keys: pass nil or, to the methods that
// take slices, an empty slice.
//
// The zero value behaves like a closed map. So does nil, with one exception: the methods that BPFMap has in common
// with [BPFMapLow] panic, because they are promoted from an embedded struct, which nil doesn't have.
type BPFMap struct {
	elements
	module *Module
	c      *C.struct_bpf_map
	// unread is a pointer so that readers can refer to it without keeping the map alive.
	unread *unread
}

func newBPFMap(m *Module, c *C.struct_bpf_map) *BPFMap {
	bpfMap := &BPFMap{module: m, c: c, unread: new(unread)}
	bpfMap.guard = &m.object.guard
	bpfMap.name = C.GoString(C.bpf_map__name(c))
	bpfMap.refresh()
	return bpfMap
}

// refresh copies the map's properties from libbpf. The caller holds the object's lock.
func (m *BPFMap) refresh() {
	m.fd = -1
	if C.bpf_map__autocreate(m.c) {
		// A map that isn't created has a descriptor in libbpf, too, but not of a map.
		m.fd = C.bpf_map__fd(m.c)
	}
	m.mapType = MapType(C.bpf_map__type(m.c))
	m.keySize = int(C.bpf_map__key_size(m.c))
	m.valueSize = int(C.bpf_map__value_size(m.c))
	m.maxEntries = uint32(C.bpf_map__max_entries(m.c))
	if m.fd >= 0 {
		// With BPF_F_NO_COMMON_LRU, the kernel rounds the capacity up to a multiple of the CPUs.
		if info, err := GetMapInfoByFD(int(m.fd)); err == nil {
			m.maxEntries = info.MaxEntries
		}
	}
}

// in returns the operations on the map's elements. For nil, it returns those of a closed map.
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

// MaxEntries returns the map's capacity, in elements or, for ring buffers, in bytes. It is 0 once the module is
// closed.
//
// Implements: bpf_map__max_entries
func (m *BPFMap) MaxEntries() uint32 {
	return get(m.in().guard, func() uint32 { return uint32(C.bpf_map__max_entries(m.c)) })
}

// GetMaxEntries is the older name of [BPFMap.MaxEntries].
//
// Deprecated: use MaxEntries.
func (m *BPFMap) GetMaxEntries() uint32 {
	return m.MaxEntries()
}

// SetMaxEntries sets the map's capacity, in elements, for ring buffers in bytes, for arenas in pages. It must be
// called before the load. A map behind global variables always has one element, and an arena must have room for its
// variables: otherwise the error is syscall.EINVAL (errors.Is).
//
// Implements: bpf_map__set_max_entries
func (m *BPFMap) SetMaxEntries(maxEntries uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set capacity of map %q to %d", m.in().name, maxEntries), func() error {
		if maxEntries != 1 && bool(C.bpf_map__is_internal(m.c)) {
			return errVariables
		}
		// bpf_object__create_maps of libbpf 1.7 copies the variables without comparing the sizes.
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

// Pin pins the map in a BPF file system, at pinPath or, if that is empty, at [BPFMap.PinPath].
//
// Implements: bpf_map__pin
func (m *BPFMap) Pin(pinPath string) error {
	return m.change(fmt.Sprintf("pin map %q at %q", m.in().name, pinPath), func() error {
		path, err := cStringOrNil(pinPath)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(path))
		return codeOf(C.bpf_map__pin(m.c, path))
	})
}

// Unpin removes the map from the BPF file system.
//
// Implements: bpf_map__unpin
func (m *BPFMap) Unpin(pinPath string) error {
	return m.change(fmt.Sprintf("unpin map %q from %q", m.in().name, pinPath), func() error {
		path, err := cStringOrNil(pinPath)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(path))
		return codeOf(C.bpf_map__unpin(m.c, path))
	})
}

// PinPath returns the path where the map is or will be pinned, or the empty string.
//
// Implements: bpf_map__pin_path
func (m *BPFMap) PinPath() string {
	return get(m.in().guard, func() string { return C.GoString(C.bpf_map__pin_path(m.c)) })
}

// GetPinPath is the older name of [BPFMap.PinPath].
//
// Deprecated: use PinPath.
func (m *BPFMap) GetPinPath() string {
	return m.PinPath()
}

// SetPinPath sets the path where the load or [BPFMap.Pin] pins the map. If a map of the same kind is pinned there
// already, the load reuses that map instead of creating one. The empty string stands for no path.
//
// Implements: bpf_map__set_pin_path
func (m *BPFMap) SetPinPath(pinPath string) error {
	return m.change(fmt.Sprintf("set pin path of map %q to %q", m.in().name, pinPath), func() error {
		path, err := cStringOrNil(pinPath)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(path))
		return codeOf(C.bpf_map__set_pin_path(m.c, path))
	})
}

// IsPinned reports whether the map is pinned.
//
// Implements: bpf_map__is_pinned
func (m *BPFMap) IsPinned() bool {
	return get(m.in().guard, func() bool { return bool(C.bpf_map__is_pinned(m.c)) })
}

// change runs a call that changes the map.
func (m *BPFMap) change(what string, call func() error) error {
	return m.in().guard.change(what, func() error {
		defer m.refresh()
		return call()
	})
}

// changeBeforeLoad is change for calls that must be made before the load.
func (m *BPFMap) changeBeforeLoad(what string, call func() error) error {
	return m.change(what, func() error { return m.module.object.stage.beforeLoad(call()) })
}

// errVariables refuses to change the type or size of a .data, .rodata or .bss map: libbpf has mapped memory for it at
// its first size, and would use that memory at the new one.
var errVariables = fmt.Errorf("it holds variables: %w", syscall.EINVAL)

// arenaPages returns how many pages of an arena its variables take.
func arenaPages(variables []byte) uint32 {
	page := os.Getpagesize()
	return uint32((len(variables) + page - 1) / page)
}

// checkNewType returns an error if libbpf 1.7 would corrupt memory after a change of the map's type to mapType. libbpf
// allocates memory for variables, struct_ops and arenas by type. And it takes a map's initial references for maps or
// for programs depending on the type (init_map_in_map_slots, init_prog_array_slots).
func (m *BPFMap) checkNewType(mapType MapType) error {
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

// holdsVariables reports whether libbpf has allocated memory for the map's content.
func (m *BPFMap) holdsVariables() bool {
	return bool(C.bpf_map__is_internal(m.c)) || m.initialValue() != nil
}

// SetType sets the map's type. It must be called before the load. The type of a map behind global variables can't be
// changed, and no map can become or stop being a struct_ops map or an arena. If maps of the object are initialized
// with references to maps or programs, the same applies to program arrays. Otherwise the error is syscall.EINVAL
// (errors.Is).
//
// Implements: bpf_map__set_type
func (m *BPFMap) SetType(mapType MapType) error {
	return m.changeBeforeLoad(fmt.Sprintf("set type of map %q to %v", m.in().name, mapType), func() error {
		if err := m.checkNewType(mapType); err != nil {
			return err
		}
		return codeOf(C.bpf_map__set_type(m.c, C.enum_bpf_map_type(mapType)))
	})
}

// SetKeySize sets the size of the map's keys in bytes. It must be called before the load.
//
// Implements: bpf_map__set_key_size
func (m *BPFMap) SetKeySize(size uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set key size of map %q to %v", m.in().name, size), func() error {
		return codeOf(C.bpf_map__set_key_size(m.c, C.__u32(size)))
	})
}

// SetValueSize sets the size of the map's values in bytes. It must be called before the load. The map behind the
// global variables of a section can be resized, too, if its last variable is an array; this needs libbpf 1.3. The
// .kconfig map can't be made smaller.
//
// Implements: bpf_map__set_value_size
func (m *BPFMap) SetValueSize(size uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set value size of map %q to %d", m.in().name, size), func() error {
		if m.holdsVariables() && int64(size) != int64(m.valueSize) {
			// Older ones don't resize the memory, but later unmap it with the new size.
			if err := needLibbpf(1, 3, "bpf_map__set_value_size for .data and .bss"); err != nil {
				return err
			}
		}
		// bpf_object__resolve_externs of libbpf 1.7 writes all variables, whatever the size.
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
	return get(m.in().guard, func() MapFlag { return MapFlag(C.bpf_map__map_flags(m.c)) })
}

// SetMapFlags sets the flags that the map is created with. It must be called before the load.
//
// Implements: bpf_map__set_map_flags
func (m *BPFMap) SetMapFlags(flags MapFlag) error {
	return m.changeBeforeLoad(fmt.Sprintf("set flags of map %q to %v", m.in().name, flags), func() error {
		return codeOf(C.bpf_map__set_map_flags(m.c, C.__u32(flags)))
	})
}

// MapExtra returns the map's extra setting, whose meaning depends on the map's type: for a bloom filter, the number of
// hashes.
//
// Implements: bpf_map__map_extra
func (m *BPFMap) MapExtra() uint64 {
	return get(m.in().guard, func() uint64 { return uint64(C.bpf_map__map_extra(m.c)) })
}

// SetMapExtra sets [BPFMap.MapExtra]. It must be called before the load.
//
// Implements: bpf_map__set_map_extra
func (m *BPFMap) SetMapExtra(extra uint64) error {
	return m.changeBeforeLoad(fmt.Sprintf("set map_extra of map %q to %v", m.in().name, extra), func() error {
		return codeOf(C.bpf_map__set_map_extra(m.c, C.__u64(extra)))
	})
}

// NUMANode returns the NUMA node from which the map's memory is allocated, if its flags contain BPF_F_NUMA_NODE.
//
// Implements: bpf_map__numa_node
func (m *BPFMap) NUMANode() uint32 {
	return get(m.in().guard, func() uint32 { return uint32(C.bpf_map__numa_node(m.c)) })
}

// SetNUMANode sets [BPFMap.NUMANode]. It must be called before the load.
//
// Implements: bpf_map__set_numa_node
func (m *BPFMap) SetNUMANode(node uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set NUMA node of map %q to %v", m.in().name, node), func() error {
		return codeOf(C.bpf_map__set_numa_node(m.c, C.__u32(node)))
	})
}

// IfIndex returns the index of the network interface that the map is offloaded to, or 0.
//
// Implements: bpf_map__ifindex
func (m *BPFMap) IfIndex() uint32 {
	return get(m.in().guard, func() uint32 { return uint32(C.bpf_map__ifindex(m.c)) })
}

// SetIfIndex sets [BPFMap.IfIndex]. It must be called before the load.
//
// Implements: bpf_map__set_ifindex
func (m *BPFMap) SetIfIndex(ifIndex uint32) error {
	return m.changeBeforeLoad(fmt.Sprintf("set interface index of map %q to %v", m.in().name, ifIndex), func() error {
		return codeOf(C.bpf_map__set_ifindex(m.c, C.__u32(ifIndex)))
	})
}

// Autocreate reports whether the load creates the map.
//
// Implements: bpf_map__autocreate
func (m *BPFMap) Autocreate() bool {
	return get(m.in().guard, func() bool { return bool(C.bpf_map__autocreate(m.c)) })
}

// SetAutocreate sets whether the load creates the map. The default is true. The kernel rejects a program that uses a
// map that wasn't created. It must be called before the load.
//
// Implements: bpf_map__set_autocreate
func (m *BPFMap) SetAutocreate(autocreate bool) error {
	return m.changeBeforeLoad(fmt.Sprintf("set autocreate of map %q to %v", m.in().name, autocreate), func() error {
		return codeOf(C.bpf_map__set_autocreate(m.c, C.bool(autocreate)))
	})
}

// BTFKeyTypeID returns the id of the keys' type in the object's BTF, or 0 if it has none.
//
// Implements: bpf_map__btf_key_type_id
func (m *BPFMap) BTFKeyTypeID() uint32 {
	return get(m.in().guard, func() uint32 { return uint32(C.bpf_map__btf_key_type_id(m.c)) })
}

// BTFValueTypeID returns the id of the values' type in the object's BTF, or 0 if it has none.
//
// Implements: bpf_map__btf_value_type_id
func (m *BPFMap) BTFValueTypeID() uint32 {
	return get(m.in().guard, func() uint32 { return uint32(C.bpf_map__btf_value_type_id(m.c)) })
}

// IsInternal reports whether the map was created by libbpf, for global variables and the like.
//
// Implements: bpf_map__is_internal
func (m *BPFMap) IsInternal() bool {
	return get(m.in().guard, func() bool { return bool(C.bpf_map__is_internal(m.c)) })
}

// InitialValue returns a copy of the initial values of the global variables behind the map.
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

// SetInitialValue sets the initial values of the global variables behind the map. It must be called before the load.
// value points to [BPFMap.ValueSize] bytes.
//
// Implements: bpf_map__set_initial_value
func (m *BPFMap) SetInitialValue(value unsafe.Pointer) error {
	return m.changeBeforeLoad(fmt.Sprintf("set initial value of map %q", m.in().name), func() error {
		if value == nil {
			return fmt.Errorf("nil value: %w", syscall.EINVAL)
		}
		if !m.holdsVariables() {
			return fmt.Errorf("it holds no variables: %w", syscall.EINVAL)
		}
		return codeOf(C.golibbpf_map_set_initial_value(m.c, (*C.char)(value), C.size_t(m.valueSize)))
	})
}

// ReuseFD makes the object use another map, the one with the descriptor fd, in the place of this map. The descriptor
// is duplicated, and the replaced map's descriptor is closed. It must be called before the load. For a map behind
// global variables, the other map must have the same sizes. The other map can't be of a type that [BPFMap.SetType]
// would refuse.
//
// Implements: bpf_map__reuse_fd
func (m *BPFMap) ReuseFD(fd int) error {
	return m.changeBeforeLoad(fmt.Sprintf("reuse descriptor %d as map %q", fd, m.in().name), func() error {
		// If the kernel reports that fd is no map, libbpf falls back on /proc/self/fdinfo, which it trusts.
		info, err := GetMapInfoByFD(fd)
		if err != nil {
			return err
		}
		if err := m.checkNewType(info.Type); err != nil {
			return err
		}
		same := int(info.ValueSize) == m.valueSize && info.MaxEntries == uint32(C.bpf_map__max_entries(m.c))
		if !same && m.holdsVariables() {
			return errVariables
		}
		return codeOf(C.bpf_map__reuse_fd(m.c, C.int(fd)))
	})
}

// ErrNoInnerMap is returned by [BPFMap.InnerMapInfo], unwrapped, for a map that isn't a map of maps.
var ErrNoInnerMap = errors.New("map has no inner map")

// InnerMapInfo describes the inner maps of a map of maps, as its definition does. It must be called before the load.
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

// SetInnerMap sets the template for the inner maps of a map of maps: the map with the descriptor templateMapFD. It
// must be called before the load. The descriptor may be closed after the load.
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

// AttachStructOps registers the kernel operations that the struct_ops map implements, such as a TCP congestion
// control. They stay registered as long as the link exists.
//
// Implements: bpf_map__attach_struct_ops
func (m *BPFMap) AttachStructOps() (*BPFLink, error) {
	return m.Module().attach(nil, StructOps, m.in().name, fmt.Sprintf("attach struct_ops map %q", m.in().name), func() (*C.struct_bpf_link, error) {
		c, errno := C.bpf_map__attach_struct_ops(m.c)
		return c, errno
	})
}

// initialValue returns libbpf's memory for the map's initial content, or nil if there is none. The caller holds the
// object's lock.
func (m *BPFMap) initialValue() []byte {
	var size C.size_t
	p := C.golibbpf_map_initial_value(m.c, m.module.object.c, &size)
	return unsafe.Slice((*byte)(p), int(size))
}
