package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func array(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	key, value := uint32(2), uint32(7)
	got, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint32(got) != 0 {
		return fmt.Errorf("a new element is %x, %v", got, err)
	}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != value {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("deleting returns %v", err)
	}
	key = 3
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); !errors.Is(err, syscall.E2BIG) {
		return fmt.Errorf("writing an element beyond the end returns %v", err)
	}
	return nil
}

func hash(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	key, value := uint32(1), uint64(1)<<40
	if _, err := elements.GetValue(unsafe.Pointer(&key)); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("reading a missing element returns %v", err)
	}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 0 {
		return fmt.Errorf("the program returns %d, %v", ret, err)
	}
	key = 2
	got, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint64(got) != 2*value {
		return fmt.Errorf("the program has written %x, %v", got, err)
	}
	for key := uint32(3); ; key++ {
		err := elements.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&value), bpf.MapFlagUpdateNoExist)
		if errors.Is(err, syscall.E2BIG) && key == 5 {
			break // the map has four elements
		}
		if err != nil || key == 5 {
			return fmt.Errorf("writing element %d returns %v", key, err)
		}
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); err != nil {
		return err
	}
	if err := elements.DeleteKey(unsafe.Pointer(&key)); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("deleting twice returns %v", err)
	}
	return nil
}

func lru(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	value := uint64(1)
	for key := range uint32(10000) {
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
			return err
		}
	}
	count, newest := 0, uint32(0)
	it := elements.Iterator()
	for it.Next() {
		count++
		newest = max(newest, binary.NativeEndian.Uint32(it.Key()))
	}
	if err := it.Err(); err != nil {
		return err
	}
	if count == 0 || count > 64 || newest != 9999 {
		return fmt.Errorf("%d elements are left, the newest is %d", count, newest)
	}
	return nil
}

func lpm(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	type key struct {
		length  uint32
		address [4]byte
	}
	for i, k := range []key{{8, [4]byte{10}}, {16, [4]byte{10, 1}}, {32, [4]byte{10, 1, 2, 3}}} {
		value := uint32(i + 1)
		if err := elements.Update(unsafe.Pointer(&k), unsafe.Pointer(&value)); err != nil {
			return err
		}
	}
	for address, want := range map[[4]byte]uint32{{10, 2, 0, 1}: 1, {10, 1, 9, 9}: 2, {10, 1, 2, 3}: 3} {
		got, err := elements.GetValue(unsafe.Pointer(&key{32, address}))
		if err != nil || binary.NativeEndian.Uint32(got) != want {
			return fmt.Errorf("%v is found as %x, %v", address, got, err)
		}
	}
	if _, err := elements.GetValue(unsafe.Pointer(&key{32, [4]byte{11}})); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("looking up an address without a prefix returns %v", err)
	}
	return nil
}

func bloom(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	if elements.MapExtra() != 5 {
		return fmt.Errorf("the map has %d hash functions", elements.MapExtra())
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 0 {
		return fmt.Errorf("in an empty filter, the program finds %d, %v", ret, err)
	}
	value := uint32(42)
	if err := elements.Update(nil, unsafe.Pointer(&value)); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 1 {
		return fmt.Errorf("the program finds %d, %v", ret, err)
	}
	return nil
}

func queueStack(t *selftest.Test) error {
	module, err := t.Load()
	if err != nil {
		return err
	}
	defer module.Close()
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 0 {
		return fmt.Errorf("the program returns %d, %v", ret, err)
	}
	for name, order := range map[string][]uint32{"queue": {1, 2, 3}, "stack": {3, 2, 1}} {
		elements, err := module.GetMap(name)
		if err != nil {
			return err
		}
		for _, want := range order {
			if got, err := elements.GetValueAndDeleteKey(nil); err != nil || binary.NativeEndian.Uint32(got) != want {
				return fmt.Errorf("reading the %s returns %x, %v, want %d", name, got, err, want)
			}
		}
		if _, err := elements.GetValueAndDeleteKey(nil); !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("reading the empty %s returns %v", name, err)
		}
	}
	return nil
}

func spinLock(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	type value struct{ lock, first, second uint32 }
	key, initial := uint32(1), value{first: 5, second: 5}
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&initial)); err != nil {
		return err
	}
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		packet := make([]byte, 64)
		opts := bpf.RunOpts{DataIn: packet, DataSizeIn: 64, Repeat: 100_000}
		err := prog.Run(&opts)
		if err == nil && opts.RetVal != 0 {
			err = fmt.Errorf("the program returns %d", opts.RetVal)
		}
		ended <- err
	}()
	for {
		for _, flag := range []bpf.MapFlag{bpf.MapFlagLock, bpf.MapFlagFLock} {
			got, err := elements.GetValueFlags(unsafe.Pointer(&key), flag)
			if err != nil {
				return err
			}
			if v := (*value)(unsafe.Pointer(&got[0])); v.first != v.second || v.first < 5 {
				return fmt.Errorf("the value is %+v", v)
			}
		}
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
			return elements.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&initial), bpf.MapFlagLock)
		default:
		}
	}
}

func batch(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	keys, values := make([]uint32, 100), make([]uint32, 100)
	for i := range keys {
		keys[i], values[i] = uint32(i), uint32(1000+i)
	}
	n, err := elements.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 100)
	if err != nil || n != 100 {
		return fmt.Errorf("updated %d, %v", n, err)
	}
	seen := make(map[uint32]bool)
	got := make([]uint32, 100)
	var start, next unsafe.Pointer
	position := uint32(0)
	for next = unsafe.Pointer(&position); ; start = next {
		batch, n, err := elements.GetValueBatch(unsafe.Pointer(&got[0]), start, next, 40)
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
		for i, value := range batch[:n] {
			if v := binary.NativeEndian.Uint32(value); v != 1000+got[i] || seen[got[i]] {
				return fmt.Errorf("key %d has value %d", got[i], v)
			}
			seen[got[i]] = true
		}
		if err != nil {
			break // no more elements
		}
	}
	if len(seen) != 100 {
		return fmt.Errorf("%d elements were seen", len(seen))
	}
	n, err = elements.DeleteKeyBatch(unsafe.Pointer(&keys[0]), 60)
	if err != nil || n != 60 {
		return fmt.Errorf("deleted %d, %v", n, err)
	}
	// The first key that the map doesn't have ends the operation.
	n, err = elements.DeleteKeyBatch(unsafe.Pointer(&keys[90]), 10)
	if err != nil || n != 10 {
		return fmt.Errorf("deleted %d, %v", n, err)
	}
	n, err = elements.DeleteKeyBatch(unsafe.Pointer(&keys[85]), 10)
	if err != nil || n != 5 {
		return fmt.Errorf("deleted %d in part, %v", n, err)
	}
	batch, n, err := elements.GetValueAndDeleteBatch(unsafe.Pointer(&got[0]), nil, unsafe.Pointer(&position), 100)
	if err != nil && !errors.Is(err, syscall.ENOENT) || n != 25 || len(batch) < 25 {
		return fmt.Errorf("took out %d, %v", n, err)
	}
	if it := elements.Iterator(); it.Next() {
		return errors.New("the map isn't empty")
	}
	return nil
}

func iterate(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	for key := range uint32(1000) {
		if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&key)); err != nil {
			return err
		}
	}
	seen := make(map[uint32]bool)
	it := elements.Iterator()
	for it.Next() {
		seen[binary.NativeEndian.Uint32(it.Key())] = true
	}
	if err := it.Err(); err != nil || len(seen) != 1000 {
		return fmt.Errorf("%d keys, %v", len(seen), err)
	}
	for range 1000 {
		it := elements.Iterator()
		if !it.Next() {
			return fmt.Errorf("the map ends early: %v", it.Err())
		}
		if err := elements.DeleteElem(it.Key()); err != nil {
			return err
		}
	}
	if it := elements.Iterator(); it.Next() || it.Err() != nil {
		return fmt.Errorf("the map isn't empty, %v", it.Err())
	}
	return nil
}
