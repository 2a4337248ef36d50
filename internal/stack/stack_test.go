//go:build !asan

// With the address sanitizer, cgo has it check what C is given, which lets that escape.

package stack

import (
	"testing"
	"unsafe"

	"github.com/seed-36717feb/libbpfgo"
)

// Keys and values on the stack stay there, and nothing else is allocated. The test is in another package, like a
// user's: what the compiler inlines from another package, it analyses anew, and finds more that escapes.
func TestElementsOnTheStack(t *testing.T) {
	m, err := libbpfgo.NewModuleFromFile("../../testdata/main.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	numbers, err := m.GetMap("numbers")
	if err != nil {
		t.Fatal(err)
	}
	low, err := libbpfgo.CreateMap(libbpfgo.MapTypeHash, "low", 4, 8, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer low.Close()
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for name, f := range map[string]func(){
		"Update": func() {
			key, value := uint32(1), uint64(2)
			must(numbers.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)))
			must(low.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)))
		},
		"UpdateValueFlags": func() {
			key, value := uint32(1), uint64(2)
			must(numbers.UpdateValueFlags(unsafe.Pointer(&key), unsafe.Pointer(&value), libbpfgo.MapFlagUpdateAny))
		},
		"UpdateElem": func() {
			var key [4]byte
			var value [8]byte
			must(numbers.UpdateElem(key[:], value[:], 0))
		},
		"LookupElem": func() {
			var key [4]byte
			var value [8]byte
			must(numbers.LookupElem(key[:], value[:], 0))
		},
		"GetValueReadInto": func() {
			var key uint32
			var array [8]byte
			value := array[:]
			//lint:ignore SA1019 programs that were written for libbpfgo use it
			must(numbers.GetValueReadInto(unsafe.Pointer(&key), &value))
			//lint:ignore SA1019 programs that were written for libbpfgo use it
			must(low.GetValueReadInto(unsafe.Pointer(&key), &value))
		},
		"GetNextKey": func() {
			var next uint32
			must(numbers.GetNextKey(nil, unsafe.Pointer(&next)))
		},
		"DeleteKey": func() {
			key, value := uint32(7), uint64(2)
			must(numbers.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)))
			must(numbers.DeleteKey(unsafe.Pointer(&key)))
		},
		"DeleteElem": func() {
			var key [4]byte
			var value [8]byte
			key[0] = 9
			must(numbers.UpdateElem(key[:], value[:], 0))
			must(numbers.DeleteElem(key[:]))
		},
		"LookupAndDeleteElem": func() {
			key, value := uint32(7), uint64(2)
			must(numbers.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)))
			must(numbers.LookupAndDeleteElem(unsafe.Pointer(&key), unsafe.Pointer(&value), 8, 0))
			must(low.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)))
			must(low.LookupAndDeleteElem(unsafe.Pointer(&key), unsafe.Pointer(&value)))
		},
		"batches": func() {
			keys, values := [2]uint32{11, 12}, [2]uint64{}
			_, err := numbers.UpdateBatch(unsafe.Pointer(&keys), unsafe.Pointer(&values), 2)
			must(err)
			_, err = numbers.DeleteKeyBatch(unsafe.Pointer(&keys), 2)
			must(err)
		},
	} {
		key, value := [4]byte{}, [8]byte{}
		must(numbers.UpdateElem(key[:], value[:], 0))
		must(low.UpdateElem(key[:], value[:], 0))
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
