package libbpfgo

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func key4(n uint32) []byte   { return binary.NativeEndian.AppendUint32(nil, n) }
func value8(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

func TestMapElements(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	if numbers.KeySize() != 4 || numbers.ValueSize() != 8 || numbers.MaxEntries() != 128 || numbers.Type().Name() != "hash" {
		t.Errorf("map has keys of %d bytes, values of %d, %d entries, type %q", numbers.KeySize(), numbers.ValueSize(), numbers.MaxEntries(), numbers.Type().Name())
	}
	key, value := uint32(5), uint64(50)
	k, v := unsafe.Pointer(&key), unsafe.Pointer(&value)

	_, err := numbers.GetValue(k)
	wantErr(t, err, syscall.ENOENT, "numbers")
	wantErr(t, numbers.UpdateValueFlags(k, v, MapFlagUpdateExist), syscall.ENOENT, "numbers")
	if err := numbers.UpdateValueFlags(k, v, MapFlagUpdateNoExist); err != nil {
		t.Fatal(err)
	}
	wantErr(t, numbers.UpdateValueFlags(k, v, MapFlagUpdateNoExist), syscall.EEXIST, "numbers")
	got, err := numbers.GetValue(k)
	if err != nil || !slices.Equal(got, value8(50)) {
		t.Errorf("got %v, %v", got, err)
	}
	value = 51
	if err := numbers.Update(k, v); err != nil {
		t.Fatal(err)
	}
	into := make([]byte, 8)
	if err := numbers.GetValueReadInto(k, &into); err != nil || !slices.Equal(into, value8(51)) {
		t.Errorf("got %v, %v", into, err)
	}
	if err := numbers.UpdateElem(key4(6), value8(60), MapFlagUpdateAny); err != nil {
		t.Error(err)
	}
	if err := numbers.LookupElem(key4(6), into, 0); err != nil || !slices.Equal(into, value8(60)) {
		t.Errorf("got %v, %v", into, err)
	}
	if err := numbers.DeleteKey(k); err != nil {
		t.Error(err)
	}
	wantErr(t, numbers.DeleteKey(k), syscall.ENOENT, "numbers")
	if err := numbers.DeleteElem(key4(6)); err != nil {
		t.Error(err)
	}
	wantErr(t, numbers.DeleteElem(key4(6)), syscall.ENOENT, "numbers")
	wantErr(t, numbers.GetNextKey(nil, k), syscall.ENOENT, "numbers")
}

func TestMapBadInput(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	cpu := getMap(t, m, "cpu_numbers")
	var key uint32
	k := unsafe.Pointer(&key)
	short, long, empty := make([]byte, 7), make([]byte, 9), []byte{}
	var none []byte
	good := value8(1)

	for name, test := range map[string]struct {
		call     func() error
		want     error
		mentions string
	}{
		"lookup, key too short":       {func() error { return numbers.LookupElem(short[:3], good, 0) }, syscall.EINVAL, "key of 3 bytes"},
		"lookup, key too long":        {func() error { return numbers.LookupElem(long[:5], good, 0) }, syscall.EINVAL, "key of 5 bytes"},
		"lookup, nil key":             {func() error { return numbers.LookupElem(nil, good, 0) }, syscall.EINVAL, "key of 0 bytes"},
		"lookup, value too short":     {func() error { return numbers.LookupElem(key4(1), short, 0) }, syscall.EINVAL, "value of 7 bytes"},
		"lookup, value too long":      {func() error { return numbers.LookupElem(key4(1), long, 0) }, syscall.EINVAL, "value of 9 bytes"},
		"lookup, nil value":           {func() error { return numbers.LookupElem(key4(1), nil, 0) }, syscall.EINVAL, "value of 0 bytes"},
		"update, key too short":       {func() error { return numbers.UpdateElem(short[:3], good, 0) }, syscall.EINVAL, "key of 3 bytes"},
		"update, value empty":         {func() error { return numbers.UpdateElem(key4(1), empty, 0) }, syscall.EINVAL, "value of 0 bytes"},
		"update, one CPU's value":     {func() error { return cpu.UpdateElem(key4(0), make([]byte, 12), 0) }, syscall.EINVAL, "value of 12 bytes"},
		"delete, key too long":        {func() error { return numbers.DeleteElem(long) }, syscall.EINVAL, "key of 9 bytes"},
		"delete, nil key":             {func() error { return numbers.DeleteElem(nil) }, syscall.EINVAL, "key of 0 bytes"},
		"read into nil":               {func() error { return numbers.GetValueReadInto(k, nil) }, syscall.EINVAL, "nil value"},
		"read into nil slice":         {func() error { return numbers.GetValueReadInto(k, &none) }, syscall.EINVAL, "value of 0 bytes"},
		"read into short slice":       {func() error { return numbers.GetValueReadInto(k, &short) }, syscall.EINVAL, "value of 7 bytes"},
		"nil key pointer":             {func() error { _, err := numbers.GetValue(nil); return err }, syscall.EFAULT, "nil key"},
		"update nil key pointer":      {func() error { return numbers.Update(nil, unsafe.Pointer(&good[0])) }, syscall.EFAULT, "nil key"},
		"update nil value pointer":    {func() error { return numbers.Update(k, nil) }, syscall.EFAULT, "nil value"},
		"delete nil key pointer":      {func() error { return numbers.DeleteKey(nil) }, syscall.EFAULT, "nil key"},
		"next of nil":                 {func() error { return numbers.GetNextKey(k, nil) }, syscall.EFAULT, "nil next key"},
		"unknown flags":               {func() error { return numbers.UpdateValueFlags(k, unsafe.Pointer(&good[0]), 1<<30) }, syscall.EINVAL, "numbers"},
		"elements of a ring buffer":   {func() error { _, err := getMap(t, m, "events").GetValue(k); return err }, syscall.EINVAL, "events"},
		"array index out of range":    {func() error { _, err := getMap(t, m, "scratch").GetValue(unsafe.Pointer(&key4(9)[0])); return err }, syscall.ENOENT, "scratch"},
		"capacity of a loaded object": {func() error { return numbers.SetMaxEntries(7) }, syscall.EBUSY, "numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			leaksNothing(t, func() { wantErr(t, test.call(), test.want, test.mentions) })
		})
	}
}

func TestMapBeforeLoad(t *testing.T) {
	m := openMain(t)
	numbers := getMap(t, m, "numbers")
	if fd := numbers.FileDescriptor(); fd != -1 {
		t.Errorf("descriptor is %d", fd)
	}
	wantErr(t, numbers.UpdateElem(key4(1), value8(1), 0), syscall.ENOENT, "numbers", "load the object first")
	it := numbers.Iterator()
	if it.Next() {
		t.Error("there is a key")
	}
	wantErr(t, it.Err(), syscall.ENOENT, "load the object first")
	if err := numbers.SetMaxEntries(3); err != nil {
		t.Fatal(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	if n := numbers.MaxEntries(); n != 3 {
		t.Errorf("%d entries", n)
	}
	for i := range uint32(3) {
		if err := numbers.UpdateElem(key4(i), value8(1), 0); err != nil {
			t.Error(err)
		}
	}
	wantErr(t, numbers.UpdateElem(key4(9), value8(1), 0), syscall.E2BIG, "numbers")
	if fd := numbers.FileDescriptor(); fd < 0 {
		t.Errorf("descriptor is %d", fd)
	}
}

func TestPerCPUMap(t *testing.T) {
	m := loadMain(t)
	cpu := getMap(t, m, "cpu_numbers")
	cpus, err := NumPossibleCPUs()
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 16*cpus) // 12 bytes are rounded up
	for i := range cpus {
		for j := range 12 {
			value[16*i+j] = byte(i*12 + j)
		}
	}
	if err := cpu.UpdateElem(key4(0), value, 0); err != nil {
		t.Fatal(err)
	}
	key := uint32(0)
	got, err := cpu.GetValue(unsafe.Pointer(&key))
	if err != nil || len(got) != len(value) {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(value))
	}
	for i := range cpus {
		if !slices.Equal(got[16*i:16*i+12], value[16*i:16*i+12]) {
			t.Errorf("CPU %d has %v", i, got[16*i:16*i+16])
		}
	}
	_, err = CalcMapValueSize(0, 0)
	wantErr(t, err, syscall.EINVAL, "greater than 0")
}

func TestMapIterator(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	for _, n := range []int{0, 1, 100} {
		want := make(map[uint32]bool)
		for i := range uint32(n) {
			want[i] = true
			if err := numbers.UpdateElem(key4(i), value8(0), 0); err != nil {
				t.Fatal(err)
			}
		}
		var keys [][]byte
		it := numbers.Iterator()
		for it.Next() {
			keys = append(keys, it.Key())
		}
		if err := it.Err(); err != nil {
			t.Error(err)
		}
		if it.Next() {
			t.Error("there is a key after the last")
		}
		for _, key := range keys { // all of them, kept beyond Next
			if len(key) != 4 || cap(key) != 4 {
				t.Fatalf("key %v has capacity %d", key, cap(key))
			}
			k := binary.NativeEndian.Uint32(key)
			if !want[k] {
				t.Errorf("key %d is wrong or seen twice", k)
			}
			delete(want, k)
		}
		if len(want) > 0 {
			t.Errorf("keys %v are missing", want)
		}
	}
	// Removing each key that is found ends, too.
	found := make(map[string]bool)
	for it := numbers.Iterator(); it.Next(); {
		found[string(it.Key())] = true
		_ = numbers.DeleteElem(it.Key())
	}
	if len(found) != 100 {
		t.Errorf("%d keys", len(found))
	}
	if it := getMap(t, m, "events").Iterator(); it.Next() || it.Err() == nil {
		t.Error("a ring buffer has keys")
	}
}

// A keyedMap is a map of a type whose keys have an order of the kernel's, which starts over when the key that it
// goes on from isn't there.
type keyedMap struct {
	*BPFMapLow
	value []byte
}

// key returns the n'th key.
func (m *keyedMap) key(n uint32) []byte {
	if m.Type() == MapTypeLPMTrie {
		return append(key4(32), key4(n)...)
	}
	return key4(n)
}

// fill adds the first n keys.
func (m *keyedMap) fill(t *testing.T, n uint32) {
	t.Helper()
	for k := range n {
		if err := m.UpdateElem(m.key(k), m.value, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// withKeyedMaps runs a test with a map of each type. An LRU map removes elements before it is full.
func withKeyedMaps(t *testing.T, room int, test func(*testing.T, *keyedMap)) {
	needBPF(t)
	for mapType, flags := range map[MapType]uint32{
		MapTypeHash: 0, MapTypeLRUHash: 0, MapTypePerCPUHash: 0, MapTypeLRUPerCPUHash: 0, MapTypeLPMTrie: 1, // BPF_F_NO_PREALLOC
	} {
		t.Run(mapType.Name(), func(t *testing.T) {
			keySize := 4
			if mapType == MapTypeLPMTrie {
				keySize = 8
			}
			low, err := CreateMap(mapType, "keyed", keySize, 8, room, &BPFMapCreateOpts{MapFlags: flags})
			if err != nil {
				t.Fatal(err)
			}
			defer low.Close()
			size, err := CalcMapValueSize(8, mapType)
			if err != nil {
				t.Fatal(err)
			}
			test(t, &keyedMap{low, make([]byte, size)})
		})
	}
}

// Removing the current key, each or one of two, costs no step.
func TestIteratorRemovesKeys(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 2000
	}
	room := 2 * n
	withKeyedMaps(t, room, func(t *testing.T, m *keyedMap) {
		for _, oneOf := range []uint32{2, 1} {
			m.fill(t, uint32(n))
			found := make(map[string]bool)
			steps := 0
			it := m.Iterator()
			for ; it.Next() && steps <= room; steps++ {
				key := it.Key()
				found[string(key)] = true
				if binary.NativeEndian.Uint32(key[len(key)-4:])%oneOf == 0 {
					if err := m.DeleteKey(unsafe.Pointer(&key[0])); err != nil {
						t.Fatal(err)
					}
				}
			}
			if it.Err() != nil || steps != n || len(found) != n {
				t.Errorf("%d keys in %d steps, %v; want %d", len(found), steps, it.Err(), n)
			}
			if it.Next() {
				t.Error("there is a key after the end")
			}
		}
		it := m.Iterator()
		if it.Next() {
			t.Errorf("key %v is left", it.Key())
		}
		m.fill(t, 1)
		if !it.Next() {
			t.Errorf("the map isn't empty any more: %v", it.Err())
		}
	})
}

// The key that was read ahead is removed before each second step, and is there again for the others: an iterator
// without a limit goes on for ever.
func TestIteratorEndsThatIsThrownBack(t *testing.T) {
	const n, room = 16, 1024
	withKeyedMaps(t, room, func(t *testing.T, m *keyedMap) {
		m.fill(t, n)
		steps := 0
		it := m.Iterator()
		for ; it.Next() && steps <= 2*room; steps++ {
			if steps%2 == 1 {
				m.fill(t, n)
				continue
			}
			for k := range uint32(n) {
				if key := m.key(k); !slices.Equal(key, it.Key()) {
					_ = m.DeleteElem(key)
				}
			}
		}
		if steps != 2*room {
			t.Errorf("%d steps in a map with room for %d", steps, room)
		}
		wantErr(t, it.Err(), syscall.EAGAIN, "keyed", "room for 1024")
		if it.Next() {
			t.Error("it goes on after the error")
		}
		// The next one begins anew.
		m.fill(t, n)
		it = m.Iterator()
		for steps = 0; it.Next(); steps++ {
		}
		if it.Err() != nil || steps != n {
			t.Errorf("%d steps, %v", steps, it.Err())
		}
	})
}

// Others remove everything and add it again, all the time.
func TestIteratorEndsWhateverOthersDo(t *testing.T) {
	const n = 512
	withKeyedMaps(t, n, func(t *testing.T, m *keyedMap) {
		m.fill(t, n)
		ended := make(chan struct{})
		var all sync.WaitGroup
		for range 2 {
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					for _, change := range []func(uint32){
						func(k uint32) { _ = m.DeleteElem(m.key(k)) },
						func(k uint32) { _ = m.UpdateElem(m.key(k), m.value, 0) },
					} {
						for k := range uint32(n) {
							select {
							case <-ended:
								return
							default:
								change(k)
							}
						}
					}
				}
			}()
		}
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			steps := 0
			it := m.Iterator()
			for it.Next() {
				steps++
			}
			if steps > 2*n {
				t.Errorf("%d steps in a map with room for %d", steps, n)
			}
			if err := it.Err(); err != nil {
				wantErr(t, err, syscall.EAGAIN)
			}
		}
		close(ended)
		all.Wait()
	})
}

// The kernel gives each CPU a share of an LRU map with that flag, and makes room for one element in each.
func TestIteratorOverMoreThanWasAskedFor(t *testing.T) {
	const noCommonLRU = 1 << 1
	m := openMain(t)
	numbers := getMap(t, m, "numbers")
	for _, err := range []error{numbers.SetType(MapTypeLRUHash), numbers.SetMapFlags(noCommonLRU), numbers.SetMaxEntries(1), m.BPFLoadObject()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := GetMapInfoByFD(numbers.FileDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	if numbers.elements.maxEntries != info.MaxEntries {
		t.Errorf("the map is taken for one of %d elements, the kernel made one of %d", numbers.elements.maxEntries, info.MaxEntries)
	}
}

func TestGetNextKey(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	for _, key := range []uint32{7, 8} {
		if err := numbers.UpdateElem(key4(key), value8(0), MapFlagUpdateAny); err != nil {
			t.Fatal(err)
		}
	}
	var first, second, unknown, again uint32
	unknown = 9
	for _, step := range []struct{ key, next *uint32 }{{nil, &first}, {&first, &second}, {&unknown, &again}} {
		if err := numbers.GetNextKey(unsafe.Pointer(step.key), unsafe.Pointer(step.next)); err != nil {
			t.Fatal(err)
		}
	}
	if min(first, second) != 7 || max(first, second) != 8 || again != first {
		t.Errorf("the keys are %d and %d, the one that follows an unknown one is %d", first, second, again)
	}
	wantErr(t, numbers.GetNextKey(unsafe.Pointer(&second), unsafe.Pointer(&again)), syscall.ENOENT, "numbers")
}

func TestElementOperationsDoNotAllocate(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	key, value := key4(1), value8(1)
	if n := testing.AllocsPerRun(100, func() {
		if numbers.UpdateElem(key, value, 0) != nil || numbers.LookupElem(key, value, 0) != nil {
			t.Error("failed")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// bpffs returns a folder of the test's own in a BPF file system.
func bpffs(t *testing.T) string {
	t.Helper()
	needBPF(t)
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/sys/fs/bpf", &fs); err != nil || uint32(fs.Type) != 0xcafe4a11 {
		t.Skip("no BPF file system is mounted at /sys/fs/bpf (make mounts)")
	}
	dir, err := os.MkdirTemp("/sys/fs/bpf", "libbpfgo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestMapPinning(t *testing.T) {
	dir := bpffs(t)
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	path := filepath.Join(dir, "numbers")
	if numbers.IsPinned() || numbers.PinPath() != "" {
		t.Errorf("a new map is pinned at %q", numbers.PinPath())
	}
	wantErr(t, numbers.Unpin(path), syscall.ENOENT, path)
	if err := numbers.Pin(path); err != nil {
		t.Fatal(err)
	}
	if !numbers.IsPinned() || numbers.PinPath() != path {
		t.Errorf("the map is pinned at %q", numbers.PinPath())
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	wantErr(t, getMap(t, m, "cpu_numbers").Pin(path), syscall.EEXIST, path)
	wantErr(t, numbers.Pin("/nowhere/map"), syscall.EINVAL, "numbers", "/nowhere/map")
	wantErr(t, numbers.Pin("a\x00b"), syscall.EINVAL, "zero byte")
	if err := numbers.Unpin(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil || numbers.IsPinned() {
		t.Errorf("the pin is still there: %v", err)
	}
	wantErr(t, getMap(t, m, "scratch").Pin(""), syscall.EINVAL, "scratch")
}

// A pinned map outlives its module and is found by the next one that has its path.
func TestPinnedMapIsUsedAgain(t *testing.T) {
	path := filepath.Join(bpffs(t), "numbers")
	for _, step := range []func(*BPFMap){
		func(numbers *BPFMap) {
			if err := numbers.UpdateElem(key4(1), value8(11), 0); err != nil {
				t.Error(err)
			}
		},
		func(numbers *BPFMap) {
			if n := counted(t, numbers); n != 11 { // it counts under key 1
				t.Errorf("the value of the pinned map is %d", n)
			}
		},
	} {
		m := openMain(t)
		numbers := getMap(t, m, "numbers")
		if err := numbers.SetPinPath(path); err != nil || numbers.PinPath() != path || numbers.IsPinned() {
			t.Fatal(err, numbers.PinPath(), numbers.IsPinned())
		}
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		if !numbers.IsPinned() {
			t.Error("the map isn't pinned")
		}
		step(numbers)
		m.Close()
	}
	// A map that is unlike the one that is pinned there is refused.
	leaksNothing(t, func() {
		m := openMain(t)
		defer m.Close()
		numbers := getMap(t, m, "numbers")
		if err := numbers.SetPinPath(path); err != nil {
			t.Fatal(err)
		}
		if err := numbers.SetMaxEntries(5); err != nil {
			t.Fatal(err)
		}
		wantErr(t, m.BPFLoadObject(), syscall.EINVAL, "main.bpf.o", path)
	})
}

func TestMapLookupAndDelete(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers")
	key, value := uint32(3), uint64(30)
	k, v := unsafe.Pointer(&key), unsafe.Pointer(&value)
	_, err := numbers.GetValueAndDeleteKey(k)
	wantErr(t, err, syscall.ENOENT, "numbers")
	for _, take := range []func() (uint64, error){
		func() (uint64, error) {
			got, err := numbers.GetValueAndDeleteKey(k)
			if err != nil {
				return 0, err
			}
			return binary.NativeEndian.Uint64(got), nil
		},
		func() (got uint64, err error) {
			err = numbers.LookupAndDeleteElem(k, unsafe.Pointer(&got), 8, MapFlagUpdateAny)
			return got, err
		},
	} {
		if err := numbers.Update(k, v); err != nil {
			t.Fatal(err)
		}
		if got, err := take(); got != 30 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		_, err := take()
		wantErr(t, err, syscall.ENOENT, "look up and delete")
	}
	wantErr(t, numbers.LookupAndDeleteElem(k, v, 7, 0), syscall.EINVAL, "value of 7 bytes")
	wantErr(t, numbers.LookupAndDeleteElem(k, nil, 8, 0), syscall.EFAULT, "nil value")
}

// The key of a map without keys is nil or an empty slice.
func TestMapsWithoutKeys(t *testing.T) {
	needBPF(t)
	for _, mapType := range []MapType{MapTypeQueue, MapTypeStack, MapTypeBloomFilter} {
		t.Run(mapType.Name(), func(t *testing.T) {
			m, err := CreateMap(mapType, "keyless", 0, 8, 10, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for name, key := range map[string][]byte{"nil": nil, "empty": {}, "nothing of something": value8(1)[:0]} {
				if err := m.UpdateElem(key, value8(7), 0); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				value := value8(7)
				if err := m.LookupElem(key, value, 0); err != nil || !slices.Equal(value, value8(7)) {
					t.Errorf("%s: got %v, %v", name, value, err)
				}
				if mapType == MapTypeBloomFilter {
					wantErr(t, m.LookupElem(key, value8(8), 0), syscall.ENOENT)
				} else if value, err := m.GetValueAndDeleteKey(nil); err != nil || !slices.Equal(value, value8(7)) {
					t.Errorf("%s: got %v, %v", name, value, err)
				}
			}
			wantErr(t, m.UpdateElem(make([]byte, 1), value8(7), 0), syscall.EINVAL, "key of 1 bytes")
			// A map without keys refuses a key.
			key, value := uint32(1), uint64(7)
			wantErr(t, m.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)), syscall.EINVAL, "keyless", "has no keys")
			wantErr(t, m.DeleteKey(unsafe.Pointer(&key)), syscall.EINVAL, "keyless", "has no keys")
			_, err = m.GetValue(unsafe.Pointer(&key))
			wantErr(t, err, syscall.EINVAL, "keyless", "has no keys")
			_, err = m.GetValueAndDeleteKey(unsafe.Pointer(&key))
			wantErr(t, err, syscall.EINVAL, "keyless", "has no keys")
		})
	}
}

func TestMapBatches(t *testing.T) {
	m := loadMain(t)
	numbers := getMap(t, m, "numbers") // a hash of 128
	const n = 100
	keys, values := make([]uint32, n), make([]uint64, n)
	for i := range keys {
		keys[i], values[i] = uint32(i), uint64(i*i)
	}
	if done, err := numbers.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), n); done != n || err != nil {
		t.Fatal(done, err)
	}

	// Read all of it in pieces, twice: the second time it is emptied.
	for _, read := range []func(keys, start, next unsafe.Pointer, count uint32) ([][]byte, uint32, error){
		numbers.GetValueBatch, numbers.GetValueAndDeleteBatch,
	} {
		seen := make(map[uint32]uint64)
		var start unsafe.Pointer
		var next [8]byte
		found := make([]uint32, 64)
		for {
			list, count, err := read(unsafe.Pointer(&found[0]), start, unsafe.Pointer(&next), 64)
			if int(count) != len(list) {
				t.Fatalf("%d values, the count is %d", len(list), count)
			}
			for i, value := range list {
				if len(value) != 8 || cap(value) != 8 {
					t.Fatalf("value %v has capacity %d", value, cap(value))
				}
				seen[found[i]] = binary.NativeEndian.Uint64(value)
			}
			if err != nil {
				wantErr(t, err, syscall.ENOENT, "numbers")
				break
			}
			start = unsafe.Pointer(&next)
		}
		if len(seen) != n {
			t.Errorf("%d elements, want %d", len(seen), n)
		}
		for k, v := range seen {
			if v != uint64(k)*uint64(k) {
				t.Errorf("%d has %d", k, v)
			}
		}
	}
	if numbers.Iterator().Next() {
		t.Error("the map isn't empty")
	}
	var next [8]byte
	_, count, err := numbers.GetValueBatch(unsafe.Pointer(&keys[0]), nil, unsafe.Pointer(&next), n)
	if count != 0 {
		t.Errorf("%d elements of an empty map", count)
	}
	wantErr(t, err, syscall.ENOENT, "numbers")

	// A batch that contains a missing key, or more elements than fit, returns how many were done.
	if _, err := numbers.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 10); err != nil {
		t.Fatal(err)
	}
	keys[5] = 4711
	if done, err := numbers.DeleteKeyBatch(unsafe.Pointer(&keys[0]), 10); done != 5 || err != nil {
		t.Errorf("deleted %d, %v; want 5", done, err)
	}
	many, manyValues := make([]uint32, 200), make([]uint64, 200)
	for i := range many {
		many[i] = uint32(1000 + i)
	}
	if done, err := numbers.UpdateBatch(unsafe.Pointer(&many[0]), unsafe.Pointer(&manyValues[0]), 200); done >= 128 || done < 100 || err != nil {
		t.Errorf("updated %d, %v; the map holds 128", done, err)
	}

	for name, err := range map[string]error{
		"nil keys":   second(numbers.UpdateBatch(nil, unsafe.Pointer(&values[0]), 1)),
		"nil values": second(numbers.UpdateBatch(unsafe.Pointer(&keys[0]), nil, 1)),
		"delete nil": second(numbers.DeleteKeyBatch(nil, 1)),
		"read nil":   third(numbers.GetValueBatch(nil, nil, unsafe.Pointer(&next), 1)),
		"nil next":   third(numbers.GetValueBatch(unsafe.Pointer(&keys[0]), nil, nil, 1)),
	} {
		if t.Run(name, func(t *testing.T) { wantErr(t, err, syscall.EFAULT, "numbers") }); t.Failed() {
			break
		}
	}
	if list, count, err := numbers.GetValueBatch(unsafe.Pointer(&keys[0]), nil, unsafe.Pointer(&next), 0); len(list) != 0 || count != 0 || err != nil {
		t.Errorf("a batch of none: %v, %d, %v", list, count, err)
	}
	// A count beyond all bounds allocates no more than the map can fill.
	all := make([]uint32, 256)
	if _, count, err := numbers.GetValueBatch(unsafe.Pointer(&all[0]), nil, unsafe.Pointer(&next), 1<<32-1); count < 100 || err != nil {
		t.Errorf("got %d elements, %v", count, err)
	}
}

func second[A, B any](_ A, b B) B        { return b }
func third[A, B, C any](_ A, _ B, c C) C { return c }

func TestMapSetters(t *testing.T) {
	m := openMain(t)
	scratch := getMap(t, m, "scratch") // used by a program, so it must stay what it is
	numbers := getMap(t, m, "numbers")
	for _, err := range []error{
		numbers.SetType(MapTypeLRUHash), numbers.SetMaxEntries(64), numbers.SetMapFlags(1 << 2), numbers.SetNUMANode(0),
		numbers.SetMapExtra(0), numbers.SetIfIndex(0), scratch.SetAutocreate(true),
		numbers.SetKeySize(4), numbers.SetValueSize(8),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if numbers.Type() != MapTypeLRUHash || numbers.MapFlags() != 1<<2 || numbers.NUMANode() != 0 || numbers.MapExtra() != 0 ||
		numbers.IfIndex() != 0 || !numbers.Autocreate() || numbers.IsInternal() || numbers.BTFKeyTypeID() == 0 || numbers.BTFValueTypeID() == 0 {
		t.Errorf("%v %v %v %v %v %v %v %v %v", numbers.Type(), numbers.MapFlags(), numbers.NUMANode(), numbers.MapExtra(),
			numbers.IfIndex(), numbers.Autocreate(), numbers.IsInternal(), numbers.BTFKeyTypeID(), numbers.BTFValueTypeID())
	}
	if !getMap(t, m, ".rodata").IsInternal() {
		t.Error(".rodata isn't libbpf's own")
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	info, err := GetMapInfoByFD(numbers.FileDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != MapTypeLRUHash || info.Name != "numbers" || info.KeySize != 4 || info.ValueSize != 8 || info.MaxEntries != 64 || info.MapFlags != 1<<2 || info.ID == 0 {
		t.Errorf("%+v", info)
	}
	for name, err := range map[string]error{
		"type": numbers.SetType(MapTypeHash), "key size": numbers.SetKeySize(8), "value size": numbers.SetValueSize(4),
		"flags": numbers.SetMapFlags(0), "autocreate": numbers.SetAutocreate(false),
	} {
		wantErr(t, err, syscall.EBUSY, name, "numbers")
	}
}

func TestMapNotCreated(t *testing.T) {
	m := openMain(t)
	numbers := getMap(t, m, "numbers")
	if err := numbers.SetAutocreate(false); err != nil || numbers.Autocreate() {
		t.Fatal(err)
	}
	for _, name := range []string{"count", "count_tracepoint"} {
		if err := getProgram(t, m, name).SetAutoload(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, numbers.UpdateElem(key4(1), value8(1), 0), syscall.ENOENT, "not created")
}

func TestMapInitialValue(t *testing.T) {
	m := openMain(t)
	rodata := getMap(t, m, ".rodata")
	value, err := rodata.InitialValue()
	if err != nil || len(value) != rodata.ValueSize() {
		t.Fatal(len(value), err)
	}
	if n := binary.NativeEndian.Uint32(value); int(n) != os.Getpid() { // target_pid is the first
		t.Errorf("the first variable is %d", n)
	}
	binary.NativeEndian.PutUint32(value, 42)
	if err := rodata.SetInitialValue(unsafe.Pointer(&value[0])); err != nil {
		t.Error(err)
	}
	wantErr(t, rodata.SetInitialValue(nil), syscall.EINVAL, "nil value")
	wantErr(t, getMap(t, m, "numbers").SetInitialValue(unsafe.Pointer(&value[0])), syscall.EINVAL, "numbers", "no variables")
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	key := uint32(0)
	got, err := rodata.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint32(got) != 42 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMapLow(t *testing.T) {
	needBPF(t)
	leaksNothing(t, func() {
		low, err := CreateMap(MapTypeHash, "libbpfgo_low", 4, 8, 10, &BPFMapCreateOpts{MapFlags: 1}) // BPF_F_NO_PREALLOC
		if err != nil {
			t.Fatal(err)
		}
		defer low.Close()
		if low.Name() != "libbpfgo_low" || low.Type() != MapTypeHash || low.KeySize() != 4 || low.ValueSize() != 8 || low.MaxEntries() != 10 {
			t.Error(low.Name(), low.Type(), low.KeySize(), low.ValueSize(), low.MaxEntries())
		}
		if err := low.UpdateElem(key4(1), value8(10), 0); err != nil {
			t.Error(err)
		}
		info, err := GetMapInfoByFD(low.FileDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		var start uint32
		ids, err := GetMapsIDsByName("libbpfgo_low", &start)
		if err != nil || !slices.Contains(ids, info.ID) || start < info.ID {
			t.Fatalf("got %v, %v, %d, want %d", ids, err, start, info.ID)
		}
		same, err := GetMapByID(info.ID)
		if err != nil {
			t.Fatal(err)
		}
		key, value := uint32(1), uint64(0)
		if err := same.LookupAndDeleteElem(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil || value != 10 {
			t.Error(value, err)
		}
		if low.Iterator().Next() {
			t.Error("the key is still there")
		}

		other, err := CreateMap(MapTypeArray, "libbpfgo_other", 4, 4, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := same.ReuseFD(other.FileDescriptor()); err != nil {
			t.Fatal(err)
		}
		if same.Name() != "libbpfgo_other" || same.Type() != MapTypeArray || same.FileDescriptor() == other.FileDescriptor() {
			t.Error(same.Name(), same.Type(), same.FileDescriptor(), other.FileDescriptor())
		}
		wantErr(t, same.ReuseFD(-1), syscall.EBADF, "libbpfgo_other")
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		wantErr(t, same.ReuseFD(int(null.Fd())), syscall.EINVAL, "libbpfgo_other")
		for _, m := range []*BPFMapLow{same, other, other} {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		wantErr(t, same.ReuseFD(low.FileDescriptor()), os.ErrClosed)
		_, err = same.GetValue(unsafe.Pointer(&key))
		wantErr(t, err, os.ErrClosed, "libbpfgo_other")

		for name, test := range map[string]struct{ keySize, valueSize, entries int }{
			"negative": {-1, 8, 1}, "too large": {4, 8, 1 << 33}, "zero key": {0, 8, 1},
		} {
			m, err := CreateMap(MapTypeHash, "x", test.keySize, test.valueSize, test.entries, nil)
			if err == nil {
				m.Close()
				t.Errorf("%s: was created", name)
			}
			wantErr(t, err, syscall.EINVAL, `"x"`)
		}
		_, err = GetMapByID(1<<32 - 1)
		wantErr(t, err, syscall.ENOENT, "4294967295")
		_, err = GetMapInfoByFD(-1)
		wantErr(t, err, syscall.EBADFD)
		_, err = GetMapsIDsByName("x", nil)
		wantErr(t, err, syscall.EINVAL)
	})
}

// The kernel keeps 15 bytes of a name.
func TestMapsIDsByLongName(t *testing.T) {
	needBPF(t)
	for _, name := range []string{"libbpfgo_15byte", "libbpfgo_16bytes", "libbpfgo_of_17_by", "libbpfgo_has_" + strings.Repeat("many", 20)} {
		m, err := CreateMap(MapTypeArray, name, 4, 4, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		info, err := GetMapInfoByFD(m.FileDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range []string{name, name[:15], name[:15] + "?"} {
			var start uint32
			if ids, err := GetMapsIDsByName(asked, &start); err != nil || !slices.Contains(ids, info.ID) {
				t.Errorf("%q: got %v, %v; want %d", asked, ids, err, info.ID)
			}
		}
		var start uint32
		if ids, err := GetMapsIDsByName(name[:14], &start); err != nil || slices.Contains(ids, info.ID) {
			t.Errorf("the first 14 bytes of %q find %v, %v", name, ids, err)
		}
	}
}

// A map that is freed between the finding of its id and the look at it is none of the name.
func TestMapsIDsWhileMapsComeAndGo(t *testing.T) {
	needBPF(t)
	const name = "libbpfgo_stays"
	stays, err := CreateMap(MapTypeArray, name, 4, 4, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	info, err := GetMapInfoByFD(stays.FileDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(ended)
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				select {
				case <-ended:
					return
				default:
				}
				m, err := CreateMap(MapTypeArray, "libbpfgo_goes", 4, 4, 1, nil)
				if err != nil {
					t.Error(err)
					return
				}
				m.Close()
			}
		}()
	}
	for range 2000 {
		var start uint32
		ids, err := GetMapsIDsByName(name, &start)
		if err != nil || !slices.Contains(ids, info.ID) {
			t.Fatalf("got %v, %v, want %d", ids, err, info.ID)
		}
	}
}

func TestMapReuseAndInnerMap(t *testing.T) {
	needBPF(t)
	shared, err := CreateMap(MapTypeHash, "shared", 4, 8, 128, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	m := openMain(t)
	numbers := getMap(t, m, "numbers")
	if err := numbers.ReuseFD(shared.FileDescriptor()); err != nil {
		t.Fatal(err)
	}
	wantErr(t, numbers.ReuseFD(-1), syscall.EBADFD, "numbers")
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	if err := numbers.UpdateElem(key4(9), value8(90), 0); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 8)
	if err := shared.LookupElem(key4(9), value, 0); err != nil || !slices.Equal(value, value8(90)) {
		t.Error(value, err)
	}
	_, err = numbers.InnerMapInfo()
	if err != ErrNoInnerMap {
		t.Errorf("InnerMapInfo of a hash map returns %v", err)
	}
	wantErr(t, numbers.SetInnerMap(-1), syscall.EBADF, "numbers")
	wantErr(t, numbers.SetInnerMap(shared.FileDescriptor()), syscall.EINVAL, "numbers")
	_, err = numbers.AttachStructOps()
	wantErr(t, err, syscall.EINVAL, "numbers")
}

func TestObjectIterator(t *testing.T) {
	m := openMain(t)
	it := m.Iterator()
	var maps, progs []string
	for bpfMap := it.NextMap(); bpfMap != nil; bpfMap = it.NextMap() {
		maps = append(maps, bpfMap.Name())
		if bpfMap.Name() == "numbers" && bpfMap != getMap(t, m, "numbers") {
			t.Error("another handle for the same map")
		}
	}
	for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
		progs = append(progs, prog.Name())
		if prog != getProgram(t, m, prog.Name()) {
			t.Error("another handle for the same program")
		}
	}
	for _, name := range []string{"events", "more_events", "numbers", "cpu_numbers", "scratch"} {
		if !slices.Contains(maps, name) {
			t.Errorf("maps %v lack %s", maps, name)
		}
	}
	if !slices.Contains(progs, "count") || !slices.Contains(progs, "send_many") {
		t.Errorf("programs are %v", progs)
	}
	m.Close()
	if it := m.Iterator(); it.NextMap() != nil || it.NextProgram() != nil {
		t.Error("a closed module has maps or programs")
	}
}

// Flags reach the kernel, which refuses to take a lock that an element doesn't have, and so on.
func TestElementFlags(t *testing.T) {
	m := loadMain(t)
	low, err := CreateMap(MapTypeHash, "low", 4, 8, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer low.Close()
	key, value := key4(1), value8(2)
	k, v := unsafe.Pointer(&key[0]), unsafe.Pointer(&value[0])
	numbers := getMap(t, m, "numbers")
	fill := func() {
		if err := errors.Join(numbers.UpdateElem(key, value, 0), low.UpdateElem(key, value, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []*elements{&numbers.elements, &low.elements} {
		calls := map[string]func(MapFlag) error{
			"GetValueFlags":             func(flags MapFlag) error { _, err := e.GetValueFlags(k, flags); return err },
			"LookupElem":                func(flags MapFlag) error { return e.LookupElem(key, value, flags) },
			"UpdateValueFlags":          func(flags MapFlag) error { return e.UpdateValueFlags(k, v, flags) },
			"UpdateElem":                func(flags MapFlag) error { return e.UpdateElem(key, value, flags) },
			"GetValueAndDeleteKeyFlags": func(flags MapFlag) error { _, err := e.GetValueAndDeleteKeyFlags(k, flags); return err },
			"LookupAndDeleteElem":       func(flags MapFlag) error { return numbers.LookupAndDeleteElem(k, v, 8, flags) },
			"LookupAndDeleteElemFlags":  func(flags MapFlag) error { return low.LookupAndDeleteElemFlags(k, v, flags) },
		}
		for name, call := range calls {
			for _, flags := range []MapFlag{MapFlagLock, MapFlagFLock, 1 << 31} {
				fill()
				if err := call(flags); !errors.Is(err, syscall.EINVAL) {
					t.Errorf("%s with flags %#x: %v", name, flags, err)
				}
			}
			fill()
			if err := call(0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		fill()
		for _, name := range []string{"UpdateValueFlags", "UpdateElem"} {
			wantErr(t, calls[name](MapFlagUpdateNoExist), syscall.EEXIST, "update map")
			if err := calls[name](MapFlagUpdateExist); err != nil {
				t.Error(name, err)
			}
		}
	}
}

// MapFlagFLock is MapFlagLock, by a number that the kernel doesn't know.
func TestElementLock(t *testing.T) {
	locked := getMap(t, loadAttach(t), "locked")
	key, value := key4(1), value8(2<<32)
	for _, flags := range []MapFlag{MapFlagLock, MapFlagFLock} {
		if err := locked.UpdateElem(key, value, 0); err != nil {
			t.Fatal(err)
		}
		if err := locked.UpdateElem(key, value, flags); err != nil {
			t.Errorf("update with flags %#x: %v", flags, err)
		}
		got, err := locked.GetValueFlags(unsafe.Pointer(&key[0]), flags)
		if err != nil || got[4] != 2 {
			t.Errorf("look up with flags %#x: %v, %v", flags, got, err)
		}
	}
}

// While an operation is in the kernel, its map isn't closed: another map could get the descriptor. Operations don't keep
// each other from running.
func TestElementsHoldTheirMap(t *testing.T) {
	needBPF(t)
	m, err := CreateMap(MapTypeHash, "held", 4, 8, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	closed, inside := make(chan struct{}), false
	err = m.use("look at", func() error {
		go func() {
			_ = m.Close()
			close(closed)
		}()
		if m.guard.mutex.TryLock() {
			m.guard.mutex.Unlock()
			return errors.New("the map can be closed")
		}
		select {
		case <-closed:
			return errors.New("the map was closed")
		case <-time.After(20 * time.Millisecond):
			inside = true
			return nil
		}
	})
	if err != nil || !inside {
		t.Error(err)
	}
	<-closed
	wantErr(t, m.UpdateElem(key4(1), value8(1), 0), os.ErrClosed)
}
