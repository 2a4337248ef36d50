//go:build cgo && linux

package libbpfgo

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// A BPFMapIterator iterates over a map's keys, in the kernel's order. It reads one key ahead, so the current key may
// be removed: the iteration continues with the key that was read ahead. Keys that are added or removed during the
// iteration may be returned or not; the key that was read ahead is returned even if it was removed meanwhile.
//
// If the key that was read ahead is removed, by any process or by the kernel (which removes keys of LRU maps), the
// kernel starts over at the first key, and keys are returned again. The iteration still ends, at the latest after
// twice as many keys as the map's capacity. If it ends there, before the end of the map, the error of Err is
// syscall.EAGAIN (errors.Is).
//
// An iterator must be used by one goroutine at a time.
type BPFMapIterator struct {
	elements *elements
	key      []byte
	ahead    []byte // the key after key; nil at the end
	found    uint64 // number of keys returned
	free     []byte
	err      error
}

const (
	// iteratorKeys is the number of keys for which the iterator allocates memory at a time.
	iteratorKeys = 32
	// iteratorRounds times the map's capacity is the largest number of keys that an iteration returns.
	iteratorRounds = 2
)

// Iterator returns an iterator positioned before the map's first key.
func (e *elements) Iterator() *BPFMapIterator {
	return &BPFMapIterator{elements: e}
}

// Next moves to the next key and reports whether there is one. After it has returned false, Err returns nil at the end
// of the map, and the error otherwise. An iterator stays at the end, except in a map that had no keys: there, the next
// call starts again.
func (it *BPFMapIterator) Next() bool {
	if it == nil || it.err != nil {
		return false
	}
	if it.elements == nil {
		it.elements = noElements
	}
	var key []byte
	it.err = it.elements.use("get next key of", func() (err error) {
		if it.key == nil {
			it.ahead, err = it.after(nil)
		}
		if err != nil || it.ahead == nil {
			return err
		}
		// A cgroup storage map has the capacity 0. The kernel doesn't start over in it.
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

// after returns the key that follows key, or the first one if key is nil. After the last key, it returns nil.
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

// Key returns the key that the last call of Next has moved to. The slice belongs to the caller.
func (it *BPFMapIterator) Key() []byte {
	if it == nil {
		return nil
	}
	return it.key
}

// Err returns the error that ended the iteration, or nil at the end of the map.
func (it *BPFMapIterator) Err() error {
	if it == nil {
		return os.ErrClosed
	}
	return it.err
}
