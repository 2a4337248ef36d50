package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

// BPFMapInfo is the kernel's description of a map (struct bpf_map_info). Sizes are in bytes.
type BPFMapInfo struct {
	Type                  MapType
	ID                    uint32
	KeySize               uint32
	ValueSize             uint32
	MaxEntries            uint32
	MapFlags              uint32
	Name                  string // the first 15 bytes of it
	IfIndex               uint32
	BTFVmlinuxValueTypeID uint32
	NetnsDev              uint64
	NetnsIno              uint64
	BTFID                 uint32
	BTFKeyTypeID          uint32
	BTFValueTypeID        uint32
	MapExtra              uint64
}

// GetMapInfoByFD describes the map with the descriptor fd.
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
		return nil, failedf(err, "get information on the map of descriptor %d", fd)
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

// GetMapFDByID returns a new descriptor of the map with the given id. The caller must close it. It needs
// CAP_SYS_ADMIN.
//
// Implements: bpf_map_get_fd_by_id
func GetMapFDByID(id uint32) (int, error) {
	fd := C.bpf_map_get_fd_by_id(C.__u32(id))
	return int(fd), failedf(codeOf(fd), "get the map with id %d", id)
}

// GetMapNextID returns the smallest map id that is larger than startID. If there is none, the error is syscall.ENOENT
// (errors.Is). It needs CAP_SYS_ADMIN.
//
// Implements: bpf_map_get_next_id
func GetMapNextID(startID uint32) (uint32, error) {
	id := C.__u32(startID)
	err := codeOf(C.bpf_map_get_next_id(id, &id))
	return uint32(id), failedf(err, "get the map id after %d", startID)
}

// GetMapsIDsByName returns the ids of the maps with that name whose id is larger than *startID. The kernel stores the
// first 15 bytes of a map's name, so only these are compared: the result contains all maps whose names start with the
// same 15 bytes. It sets *startID to the last id that it has looked at, also when it returns an error.
func GetMapsIDsByName(name string, startID *uint32) ([]uint32, error) {
	if startID == nil {
		return nil, failedf(fmt.Errorf("nil start: %w", syscall.EINVAL), "find maps %q", name)
	}
	kernelName := name[:min(len(name), C.BPF_OBJ_NAME_LEN-1)]
	var ids []uint32
	for {
		id, err := GetMapNextID(*startID)
		if errors.Is(err, syscall.ENOENT) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		*startID = id
		bpfMap, err := GetMapByID(id)
		if errors.Is(err, syscall.ENOENT) {
			continue // the map was freed meanwhile
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
