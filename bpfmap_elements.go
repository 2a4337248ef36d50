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

// MapFlag is a flag of an operation on a map's elements, or of the creation of a map.
type MapFlag uint32

// MapFlagFLock stands for MapFlagLock in element operations, and can't be combined with other flags. Its value is not
// the kernel's; it is kept because programs for libbpfgo have it compiled in.
const MapFlagFLock MapFlag = MapFlagUpdateNoExist | MapFlagUpdateExist

// forElement converts the flags to the kernel's for element operations.
func (flags MapFlag) forElement() C.__u64 {
	if flags == MapFlagFLock {
		flags = MapFlagLock
	}
	return C.__u64(flags)
}

// CalcMapValueSize returns the size in bytes of the memory that an element operation reads or writes for a value. For
// per-CPU maps, that is the value's size rounded up to a multiple of 8, times the number of possible CPUs; for other
// maps, it is the value's size.
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

// LookupAndDeleteElem copies the value of key to value, of valueSize bytes, and removes the key. valueSize must be the
// result of [CalcMapValueSize]. Queues and stacks have no keys: pass nil as key.
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

// LookupAndDeleteElem copies the value of key to value, which must have room for as many bytes as [CalcMapValueSize]
// returns, and removes the key. Queues and stacks have no keys: pass nil as key.
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

// elements implements the element operations of a map, by the map's descriptor. The zero value behaves like a closed
// map.
type elements struct {
	guard *guard

	// These are protected by guard. fd is negative until the map is created. name changes only in a BPFMapLow
	// (ReuseFD).
	name               string
	fd                 C.int
	mapType            MapType
	keySize, valueSize int
	maxEntries         uint32
}

// noElements stands for the elements of a nil map.
var noElements = new(elements)

// readField reads a field under the guard's lock, also after the map was closed.
func readField[T any](guard *guard, value *T) T {
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
	return readField(e.guard, &e.name)
}

// FileDescriptor returns the map's file descriptor, which belongs to the map. It is -1 if the map isn't created yet or
// is closed.
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
	return readField(e.guard, &e.mapType)
}

// KeySize returns the size of the map's keys in bytes.
//
// Implements: bpf_map__key_size
func (e *elements) KeySize() int {
	return readField(e.guard, &e.keySize)
}

// ValueSize returns the size of the map's values in bytes; for per-CPU maps, the size of one CPU's value.
//
// Implements: bpf_map__value_size
func (e *elements) ValueSize() int {
	return readField(e.guard, &e.valueSize)
}

// GetValue returns a copy of the value of key. If the key doesn't exist, the error is syscall.ENOENT (errors.Is).
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

// GetValueReadInto copies the value of key to the slice that value points to. The slice's length must be the result of
// [CalcMapValueSize].
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

// LookupElem copies the value of key to value. The lengths of both must be the map's sizes; for a per-CPU map, value
// must have room for the values of all CPUs ([CalcMapValueSize]), except with [MapFlagCPU]. If the key doesn't exist,
// the error is syscall.ENOENT (errors.Is); if a length is wrong, it is syscall.EINVAL.
//
// Implements: bpf_map__lookup_elem
func (e *elements) LookupElem(key, value []byte, flags MapFlag) error {
	return e.use("look up in", func() error {
		if err := errors.Join(e.checkKey(key), e.checkValue(value, flags)); err != nil {
			return err
		}
		return e.lookup(keyPointer(key), value, flags)
	})
}

// Update creates or replaces the value of key.
//
// Implements: bpf_map__update_elem, bpf_map_update_elem
func (e *elements) Update(key, value unsafe.Pointer) error {
	return e.UpdateValueFlags(key, value, MapFlagUpdateAny)
}

// UpdateValueFlags is Update with flags. With [MapFlagUpdateNoExist], the error is syscall.EEXIST (errors.Is) if the
// key exists; with [MapFlagUpdateExist], it is syscall.ENOENT if the key doesn't exist.
//
// Implements: bpf_map__update_elem, bpf_map_update_elem
func (e *elements) UpdateValueFlags(key, value unsafe.Pointer, flags MapFlag) error {
	return e.use("update", func() error { return e.update(key, value, flags) })
}

// UpdateElem creates or replaces the value of key. The lengths of both must be the map's sizes; for a per-CPU map,
// value consists of a value for each possible CPU ([CalcMapValueSize]), except with [MapFlagCPU] and [MapFlagAllCPUs].
// If a length is wrong, the error is syscall.EINVAL (errors.Is).
//
// Implements: bpf_map__update_elem
func (e *elements) UpdateElem(key, value []byte, flags MapFlag) error {
	return e.use("update", func() error {
		if err := errors.Join(e.checkKey(key), e.checkValue(value, flags)); err != nil {
			return err
		}
		return e.update(keyPointer(key), unsafe.Pointer(unsafe.SliceData(value)), flags)
	})
}

// DeleteKey removes key and its value. If the key doesn't exist, the error is syscall.ENOENT (errors.Is).
//
// Implements: bpf_map__delete_elem, bpf_map_delete_elem
func (e *elements) DeleteKey(key unsafe.Pointer) error {
	return e.use("delete from", func() error { return e.delete(key) })
}

// DeleteElem removes key and its value. If the key doesn't exist, the error is syscall.ENOENT (errors.Is); if the
// key's length is wrong, it is syscall.EINVAL.
//
// Implements: bpf_map__delete_elem
func (e *elements) DeleteElem(key []byte) error {
	return e.use("delete from", func() error {
		if err := e.checkKey(key); err != nil {
			return err
		}
		return e.delete(keyPointer(key))
	})
}

// GetNextKey writes the key that follows key to nextKey. If key is nil or doesn't exist, that is the map's first key.
// After the last key, the error is syscall.ENOENT (errors.Is).
//
// Implements: bpf_map__get_next_key, bpf_map_get_next_key
func (e *elements) GetNextKey(key unsafe.Pointer, nextKey unsafe.Pointer) error {
	return e.use("get next key of", func() error { return e.next(key, nextKey) })
}

var errNotCreated = fmt.Errorf("map is not created, load the object first: %w", syscall.ENOENT)

// GetValueAndDeleteKey returns a copy of the value of key and removes the key. Queues and stacks have no keys: pass
// nil as key.
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

// GetValueBatch reads up to count elements in one system call. It writes their keys to keys, which must have room for
// count keys, and returns their values and the number of elements. The first call passes nil as startKey; each further
// call passes the position that the previous call has written to nextKey. startKey and nextKey point to memory of the
// key's size, or of 4 bytes if keys are smaller.
//
// A call may return fewer than count elements although more follow. Continue until the error is syscall.ENOENT
// (errors.Is): the map has no more elements. The error is syscall.ENOSPC if count is smaller than the number of
// elements in a bucket of the hash map. It needs Linux 5.6.
//
// Implements: bpf_map_lookup_batch
func (e *elements) GetValueBatch(keys, startKey, nextKey unsafe.Pointer, count uint32) ([][]byte, uint32, error) {
	return e.lookupBatch("look up a batch in", keys, startKey, nextKey, count, func(values *C.char, n *C.__u32) C.int {
		return C.golibbpf_map_lookup_batch(e.fd, (*C.char)(startKey), (*C.char)(nextKey), (*C.char)(keys), values, n)
	})
}

// GetValueAndDeleteBatch is GetValueBatch, but also removes the elements that it returns.
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
		// A batch never has more elements than the map has room for.
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

// UpdateBatch creates or replaces count elements in one system call. keys and values are arrays of count keys and
// values. It returns the number of elements that were updated; if that is less than count, the map is full. It needs
// Linux 5.6.
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

// DeleteKeyBatch removes count elements in one system call. keys is an array of count keys. It returns the number of
// elements that were removed; if that is less than count, the next key doesn't exist. It needs Linux 5.6.
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

// changeBatch runs call, an operation on many elements that writes their number to n. If call fails with partial after
// it has changed some elements, changeBatch returns their number and no error.
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

// use runs operation on the elements of a created map, as a shared call. The string what describes the operation, such
// as "look up in". The text of an error is built only if there is one.
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
	return codeOf(C.golibbpf_map_lookup(e.fd, keyC, bytesC(value), flags.forElement()))
}

func (e *elements) lookupAndDelete(key, value unsafe.Pointer, flags MapFlag) error {
	keyC, err := e.key(key)
	if err != nil {
		return err
	}
	if value == nil {
		return errNilValue
	}
	return codeOf(C.golibbpf_map_lookup_and_delete(e.fd, keyC, (*C.char)(value), flags.forElement()))
}

func (e *elements) update(key, value unsafe.Pointer, flags MapFlag) error {
	keyC, err := e.key(key)
	if err != nil {
		return err
	}
	if value == nil {
		return errNilValue
	}
	return codeOf(C.golibbpf_map_update(e.fd, keyC, (*C.char)(value), flags.forElement()))
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

// key checks and converts a key. A map without keys (queue, stack, bloom filter) takes only nil, other maps take
// anything but nil. For a key that the kernel would refuse, it returns the kernel's error with the reason.
func (e *elements) key(key unsafe.Pointer) (*C.char, error) {
	switch {
	case key == nil && e.keySize > 0:
		return nil, fmt.Errorf("nil key: %w", syscall.EFAULT)
	case key != nil && e.keySize == 0:
		return nil, fmt.Errorf("the map has no keys, the key must be nil: %w", syscall.EINVAL)
	}
	return (*C.char)(key), nil
}

// keyPointer returns the address of a key, or nil if the key is empty. It isn't generic, like first: where the
// compiler inlines a generic function from another package, it doesn't see that the key stays on the stack.
func keyPointer(key []byte) unsafe.Pointer {
	if len(key) == 0 {
		return nil
	}
	return unsafe.Pointer(unsafe.SliceData(key))
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

// size returns how many bytes an operation with these flags reads or writes for a value.
func (e *elements) size(flags MapFlag) (int, error) {
	if flags&(MapFlagCPU|MapFlagAllCPUs) != 0 {
		return e.valueSize, nil
	}
	return CalcMapValueSize(e.valueSize, e.mapType)
}
