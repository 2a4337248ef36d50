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
	"syscall"
	"unsafe"
)

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

// LookupAndDeleteElem copies the value of key to value, of valueSize bytes, and removes the key.
// valueSize must be what [CalcMapValueSize] gives. Queues and stacks have no keys: key is nil.
//
// Implements: bpf_map__lookup_and_delete_elem
func (m *BPFMap) LookupAndDeleteElem(key, value unsafe.Pointer, valueSize uint64, flags MapFlag) error {
	return m.in().use("look up and delete in", func() error {
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
	return m.in().use("look up and delete in", func() error { return m.lookupAndDelete(key, value, flags) })
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
	if e.guard.enter() != nil {
		return -1
	}
	defer e.guard.exit()
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
	err := e.use("look up in", func() (err error) {
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
	return e.use("look up in", func() error {
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
	return e.use("look up in", func() error {
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
	return e.use("update", func() error { return e.update(key, value, flags) })
}

// UpdateElem creates or replaces the value of key. The lengths of both must be the map's; for a
// per-CPU map, value has a value for each possible CPU ([CalcMapValueSize]), except with [MapFlagCPU]
// and [MapFlagAllCPUs]. A wrong length is syscall.EINVAL.
//
// Implements: bpf_map__update_elem
func (e *elements) UpdateElem(key, value []byte, flags MapFlag) error {
	return e.use("update", func() error {
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
	return e.use("delete from", func() error { return e.delete(key) })
}

// DeleteElem removes key and its value. A wrong length is syscall.EINVAL; if the key isn't there,
// errors.Is(err, syscall.ENOENT) holds.
//
// Implements: bpf_map__delete_elem
func (e *elements) DeleteElem(key []byte) error {
	return e.use("delete from", func() error {
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
	return e.use("get next key of", func() error { return e.next(key, nextKey) })
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
	err := e.use("look up and delete in", func() (err error) {
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
	err := e.use(what, func() error {
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
	err := e.use(what, func() error {
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

// use runs an operation on the elements of a created map, beside others. What is what is done to the map, such as
// "look up in": the words of an error are only made if there is one.
func (e *elements) use(what string, operation func() error) error {
	if err := e.guard.enter(); err != nil {
		return failedf(err, "%s map %q", what, e.Name())
	}
	defer e.guard.exit()
	err := errNotCreated
	if e.fd >= 0 {
		err = operation()
	}
	if err != nil {
		return failedf(err, "%s map %q", what, e.name)
	}
	return nil
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
