package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"math"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A BPFMapLow is a map of any object, program or process, known only by its descriptor. It owns the descriptor until
// [BPFMapLow.Close]. If it is dropped without Close, the descriptor stays open, because programs that were written for
// libbpfgo close the descriptor themselves.
//
// All methods may be called from several goroutines; operations on elements run side by side.
//
// The zero value behaves like a closed map. So does nil, with one exception: the methods that BPFMapLow has in common
// with [BPFMap] panic, because they are promoted from an embedded struct, which nil doesn't have.
type BPFMapLow struct {
	elements
}

// BPFMapCreateOpts are the options of [CreateMap] (struct bpf_map_create_opts). The zero value means libbpf's
// defaults.
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

// CreateMap creates a map. Sizes are in bytes. maxEntries is in elements or, for ring buffers, in bytes. The kernel
// stores the first 15 bytes of mapName. If the thread may create maps but not load programs, the map gets no name.
//
// Implements: bpf_map_create
func CreateMap(mapType MapType, mapName string, keySize, valueSize, maxEntries int, opts *BPFMapCreateOpts) (*BPFMapLow, error) {
	what := fmt.Sprintf("create map %q", mapName)
	for _, n := range []int{keySize, valueSize, maxEntries} {
		if n < 0 || n > math.MaxUint32 {
			return nil, failed(fmt.Errorf("size %d: %w", n, syscall.EINVAL), what)
		}
	}
	name, err := cString(mapName)
	if err != nil {
		return nil, failed(err, what)
	}
	defer C.free(unsafe.Pointer(name))

	c := options[C.struct_bpf_map_create_opts]()
	if opts != nil {
		c.btf_fd = C.__u32(opts.BTFFD)
		c.btf_key_type_id = C.__u32(opts.BTFKeyTypeID)
		c.btf_value_type_id = C.__u32(opts.BTFValueTypeID)
		c.btf_vmlinux_value_type_id = C.__u32(opts.BTFVmlinuxValueTypeID)
		c.inner_map_fd = C.__u32(opts.InnerMapFD)
		c.map_flags = C.__u32(opts.MapFlags)
		c.map_extra = C.__u64(opts.MapExtra)
		c.numa_node = C.__u32(opts.NumaNode)
		c.map_ifindex = C.__u32(opts.MapIfIndex)
	}
	var fd C.int
	err = watched(what, func() error {
		name := name
		if !mayNameMaps() {
			name = nil
		}
		fd = C.bpf_map_create(C.enum_bpf_map_type(mapType), name, C.__u32(keySize), C.__u32(valueSize), C.__u32(maxEntries), c)
		if err := codeOf(fd); err != nil {
			return because(mapRefusal(err, BPFMapInfo{
				Type:           mapType,
				Name:           mapName,
				KeySize:        uint32(keySize),
				ValueSize:      uint32(valueSize),
				MaxEntries:     uint32(maxEntries),
				MapFlags:       uint32(c.map_flags),
				BTFKeyTypeID:   uint32(c.btf_key_type_id),
				BTFValueTypeID: uint32(c.btf_value_type_id),
			}), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newBPFMapLow(int(fd))
}

// GetMapByID returns the map with the given id. It needs CAP_SYS_ADMIN.
//
// Implements: bpf_map_get_fd_by_id
func GetMapByID(id uint32) (*BPFMapLow, error) {
	fd, err := GetMapFDByID(id)
	if err != nil {
		return nil, err
	}
	return newBPFMapLow(fd)
}

// in returns the operations on the map's elements. For nil, it returns those of a closed map.
func (m *BPFMapLow) in() *elements {
	if m == nil {
		return noElements
	}
	return &m.elements
}

// newBPFMapLow returns the map of a descriptor, which it owns from then on. After an error the descriptor is closed.
func newBPFMapLow(fd int) (*BPFMapLow, error) {
	m := &BPFMapLow{elements{guard: new(guard)}}
	if err := m.setFD(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return m, nil
}

// setFD sets the map's descriptor, and its properties from the kernel.
func (m *BPFMapLow) setFD(fd int) error {
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
	return failedf(unix.Close(int(m.fd)), "close map %q", m.name)
}

// MaxEntries returns the map's capacity, in elements or, for ring buffers, in bytes.
func (m *BPFMapLow) MaxEntries() uint32 {
	elements := m.in()
	return readField(elements.guard, &elements.maxEntries)
}

// ReuseFD makes this BPFMapLow stand for another map, the one with the descriptor fd. The descriptor is duplicated,
// and the previous one is closed.
func (m *BPFMapLow) ReuseFD(fd int) error {
	what := fmt.Sprintf("reuse descriptor %d as map %q", fd, m.in().Name())
	if err := m.in().guard.lock(); err != nil {
		return failed(err, what)
	}
	defer m.guard.unlock()
	// The kernel, like C, would use only the low 32 bits of the number.
	if _, err := cInt(fd, "descriptor"); err != nil {
		return failed(err, what)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return failed(err, what)
	}
	before := int(m.fd)
	if err := m.setFD(dup); err != nil {
		_ = unix.Close(dup)
		return failed(err, what)
	}
	return failed(unix.Close(before), what)
}
