//go:build cgo && linux

package libbpfgo

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

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
	it.err = it.elements.use("get next key of", func() (err error) {
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
