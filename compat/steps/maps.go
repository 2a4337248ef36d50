package main

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"syscall"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
)

// elements has the methods that BPFMap and BPFMapLow share.
type elements interface {
	GetValue(key unsafe.Pointer) ([]byte, error)
	GetValueFlags(key unsafe.Pointer, flags bpf.MapFlag) ([]byte, error)
	GetValueAndDeleteKey(key unsafe.Pointer) ([]byte, error)
	GetValueAndDeleteKeyFlags(key unsafe.Pointer, flags bpf.MapFlag) ([]byte, error)
	Update(key, value unsafe.Pointer) error
	UpdateValueFlags(key, value unsafe.Pointer, flags bpf.MapFlag) error
	DeleteKey(key unsafe.Pointer) error
	GetNextKey(key, nextKey unsafe.Pointer) error
	GetValueBatch(keys, startKey, nextKey unsafe.Pointer, count uint32) ([][]byte, uint32, error)
	GetValueAndDeleteBatch(keys, startKey, nextKey unsafe.Pointer, count uint32) ([][]byte, uint32, error)
	UpdateBatch(keys, values unsafe.Pointer, count uint32) (uint32, error)
	DeleteKeyBatch(keys unsafe.Pointer, count uint32) (uint32, error)
	Iterator() *bpf.BPFMapIterator
	FileDescriptor() int
	KeySize() int
	ValueSize() int
	MaxEntries() uint32
	Name() string
	Type() bpf.MapType
}

// low returns another handle of the map, by its own descriptor, which the caller owns.
func low(m *bpf.BPFMap) *bpf.BPFMapLow {
	return must(bpf.GetMapByID(must(bpf.GetMapInfoByFD(m.FileDescriptor())).ID))
}

// onBoth adds two cases with the same steps: one with a BPFMap, the other with a BPFMapLow.
func onBoth(name, mapName string, run func(elements)) {
	add(map[string]func(){
		name:          func() { run(getMap(loadMaps(), mapName)) },
		name + "-low": func() { run(low(getMap(loadMaps(), mapName))) },
	})
}

func init() {
	onBoth("hash-elements", "hash", func(e elements) {
		show("missing")(e.GetValue(ptr(uint32(1))))
		show("create")(e.Update(ptr(uint32(1)), ptr(uint64(100))))
		show("read")(e.GetValue(ptr(uint32(1))))
		show("create again")(e.UpdateValueFlags(ptr(uint32(1)), ptr(uint64(101)), bpf.MapFlagUpdateNoExist))
		show("replace")(e.UpdateValueFlags(ptr(uint32(1)), ptr(uint64(102)), bpf.MapFlagUpdateExist))
		show("replace what isn't there")(e.UpdateValueFlags(ptr(uint32(2)), ptr(uint64(102)), bpf.MapFlagUpdateExist))
		show("read with any flag")(e.GetValueFlags(ptr(uint32(1)), bpf.MapFlagUpdateAny))
		show("read with a wrong flag")(e.GetValueFlags(ptr(uint32(1)), bpf.MapFlagUpdateExist))
		show("unknown flag")(e.UpdateValueFlags(ptr(uint32(1)), ptr(uint64(102)), 1<<30))
		show("read and remove")(e.GetValueAndDeleteKey(ptr(uint32(1))))
		show("read and remove again")(e.GetValueAndDeleteKey(ptr(uint32(1))))
		show("read and remove with a wrong flag")(e.GetValueAndDeleteKeyFlags(ptr(uint32(1)), bpf.MapFlagUpdateExist))
		show("remove what isn't there")(e.DeleteKey(ptr(uint32(1))))
		check(e.Update(ptr(uint32(3)), ptr(uint64(3))))
		show("remove")(e.DeleteKey(ptr(uint32(3))))
		for i := range uint32(9) {
			show("fill %d", i)(e.Update(ptr(i), ptr(uint64(i))))
		}
	})

	onBoth("nil-key", "hash", func(e elements) {
		show("read")(e.GetValue(nil))
		show("write")(e.Update(nil, ptr(uint64(1))))
		show("write nothing")(e.Update(ptr(uint32(1)), nil))
		show("remove")(e.DeleteKey(nil))
		show("read and remove")(e.GetValueAndDeleteKey(nil))
		show("next key to nowhere")(e.GetNextKey(nil, nil))
	})

	onBoth("array-elements", "array", func(e elements) {
		show("read")(e.GetValue(ptr(uint32(0))))
		show("write")(e.Update(ptr(uint32(3)), ptr(uint64(7))))
		show("write beyond the end")(e.Update(ptr(uint32(4)), ptr(uint64(7))))
		show("read beyond the end")(e.GetValue(ptr(uint32(4))))
		show("create what is there always")(e.UpdateValueFlags(ptr(uint32(3)), ptr(uint64(8)), bpf.MapFlagUpdateNoExist))
		show("remove")(e.DeleteKey(ptr(uint32(3))))
		show("read and remove")(e.GetValueAndDeleteKey(ptr(uint32(3))))
	})

	onBoth("queue-elements", "queue", func(e elements) { pushAndPop(e) })
	onBoth("stack-elements", "stack", func(e elements) { pushAndPop(e) })

	onBoth("lru-elements", "lru", func(e elements) {
		for i := range uint32(1000) {
			check(e.Update(ptr(i), ptr(uint64(i))))
		}
		show("newest")(e.GetValue(ptr(uint32(999))))
		show("oldest")(e.GetValue(ptr(uint32(0))))
	})

	for _, name := range []string{"cpu_hash", "cpu_array"} {
		onBoth(name+"-elements", name, func(e elements) {
			size := must(bpf.CalcMapValueSize(e.ValueSize(), e.Type()))
			show("size of a value of all CPUs")(size)
			value := make([]byte, size)
			for i := range value {
				value[i] = byte(i)
			}
			show("write")(e.Update(ptr(uint32(1)), unsafe.Pointer(&value[0])))
			show("read")(e.GetValue(ptr(uint32(1))))
			keys, values := []uint32{0, 0}, slices.Concat(value, value)
			keys[1] = 1
			show("write a batch")(e.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 2))
			var next uint32
			got, n, err := e.GetValueBatch(unsafe.Pointer(&keys[0]), nil, unsafe.Pointer(&next), 2)
			show("read a batch")(got, n, err)
			show("read and remove")(e.GetValueAndDeleteKey(ptr(uint32(1))))
		})
	}

	onBoth("locked-elements", "locked", func(e elements) {
		const lock = bpf.MapFlag(4) // BPF_F_LOCK
		value := [2]uint32{0, 7}
		show("write")(e.Update(ptr(uint32(1)), ptr(value)))
		show("write with the lock")(e.UpdateValueFlags(ptr(uint32(1)), ptr([2]uint32{0, 8}), lock))
		show("read with the lock")(e.GetValueFlags(ptr(uint32(1)), lock))
		show("write with the named flag")(e.UpdateValueFlags(ptr(uint32(1)), ptr(value), bpf.MapFlagFLock))
		show("read with the named flag")(e.GetValueFlags(ptr(uint32(1)), bpf.MapFlagFLock))
		show("read and remove with the lock")(e.GetValueAndDeleteKeyFlags(ptr(uint32(1)), lock))
	})

	onBoth("next-key", "array", func(e elements) {
		var next uint32
		show("first")(e.GetNextKey(nil, unsafe.Pointer(&next)), next)
		show("second")(e.GetNextKey(ptr(uint32(0)), unsafe.Pointer(&next)), next)
		show("after the last")(e.GetNextKey(ptr(uint32(3)), unsafe.Pointer(&next)))
		show("after none")(e.GetNextKey(ptr(uint32(77)), unsafe.Pointer(&next)), next)
	})

	onBoth("iterate-keys", "array", func(e elements) {
		it := e.Iterator()
		show("key before the first")(it.Key())
		for it.Next() {
			show("key")(it.Key(), it.Err())
		}
		show("key after the last")(it.Key(), it.Err())
		show("once more")(it.Next(), it.Err())
	})

	onBoth("iterate-nothing", "hash", func(e elements) {
		it := e.Iterator()
		show("next")(it.Next(), it.Err(), it.Key())
		check(e.Update(ptr(uint32(5)), ptr(uint64(5))))
		show("next, with an element since")(it.Next(), it.Err(), it.Key())
	})

	onBoth("iterate-queue", "queue", func(e elements) {
		it := e.Iterator()
		show("next")(it.Next())
		show("error")(it.Err())
	})

	onBoth("batch-array", "array", func(e elements) {
		keys := []uint32{0, 1, 2, 3}
		values := []uint64{10, 11, 12, 13}
		show("write")(e.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 4))
		var next uint32
		read := make([]uint32, 8)
		got, n, err := e.GetValueBatch(unsafe.Pointer(&read[0]), nil, unsafe.Pointer(&next), 3)
		show("read three")(got, n, err, read)
		got, n, err = e.GetValueBatch(unsafe.Pointer(&read[0]), unsafe.Pointer(&next), unsafe.Pointer(&next), 3)
		show("read the rest")(got, n, err, read)
		got, n, err = e.GetValueBatch(unsafe.Pointer(&read[0]), unsafe.Pointer(&next), unsafe.Pointer(&next), 3)
		show("read after the end")(got, n, err)
		got, n, err = e.GetValueBatch(unsafe.Pointer(&read[0]), nil, unsafe.Pointer(&next), 8)
		show("read more than there is")(got, n, err)
		show("remove")(e.DeleteKeyBatch(unsafe.Pointer(&keys[0]), 4))
		got, n, err = e.GetValueAndDeleteBatch(unsafe.Pointer(&read[0]), nil, unsafe.Pointer(&next), 4)
		show("read and remove")(got, n, err)
		keys[2] = 9
		show("write with a wrong key")(e.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 4))
	})

	onBoth("batch-hash", "hash", func(e elements) {
		keys := []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
		values := make([]uint64, 10)
		for i := range values {
			values[i] = uint64(keys[i]) * 10
		}
		show("write more than fit")(e.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 10))
		show("remove")(e.DeleteKeyBatch(unsafe.Pointer(&keys[0]), 2))
		some := []uint32{3, 77, 4}
		show("remove with one that isn't there")(e.DeleteKeyBatch(unsafe.Pointer(&some[0]), 3))
		show("remove what isn't there")(e.DeleteKeyBatch(unsafe.Pointer(&some[1]), 1))
		show("still there")(e.GetValue(ptr(uint32(4))))
		got, n, err := readAll(e, e.GetValueBatch)
		show("read all")(got, n, err)
		got, n, err = readAll(e, e.GetValueAndDeleteBatch)
		show("read and remove all")(got, n, err)
		var next uint32
		read := make([]uint32, 8)
		emptied, n, err := e.GetValueBatch(unsafe.Pointer(&read[0]), nil, unsafe.Pointer(&next), 8)
		show("read of an empty map")(emptied, n, err)
		emptied, n, err = e.GetValueAndDeleteBatch(unsafe.Pointer(&read[0]), nil, unsafe.Pointer(&next), 8)
		show("read and remove of an empty map")(emptied, n, err)
	})

	onBoth("batch-too-small", "hash", func(e elements) {
		for i := range uint32(8) {
			check(e.Update(ptr(i), ptr(uint64(i))))
		}
		// A bucket of the hash map may have more elements than fit into the batch.
		var next uint32
		read := make([]uint32, 1)
		got, n, err := e.GetValueBatch(unsafe.Pointer(&read[0]), nil, unsafe.Pointer(&next), 1)
		show("one at a time")(len(got) <= 1, n <= 1, err == nil || class(err) == "ENOSPC")
	})

	for name, call := range map[string]func(e elements, keys, values unsafe.Pointer) (any, uint32, error){
		"read": func(e elements, keys, _ unsafe.Pointer) (any, uint32, error) {
			got, n, err := e.GetValueBatch(keys, nil, ptr(uint32(0)), 0)
			return len(got), n, err
		},
		"read-and-remove": func(e elements, keys, _ unsafe.Pointer) (any, uint32, error) {
			got, n, err := e.GetValueAndDeleteBatch(keys, nil, ptr(uint32(0)), 0)
			return len(got), n, err
		},
		"write": func(e elements, keys, values unsafe.Pointer) (any, uint32, error) {
			n, err := e.UpdateBatch(keys, values, 0)
			return nil, n, err
		},
		"remove": func(e elements, keys, _ unsafe.Pointer) (any, uint32, error) {
			n, err := e.DeleteKeyBatch(keys, 0)
			return nil, n, err
		},
	} {
		onBoth("batch-of-none-"+name, "hash", func(e elements) {
			got, n, err := call(e, ptr(uint32(0)), ptr(uint64(0)))
			show("count 0")(got, n, err)
		})
	}

	onBoth("batch-queue", "queue", func(e elements) {
		keys, values := []uint32{1}, []uint32{1}
		show("write")(e.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 1))
		show("remove")(e.DeleteKeyBatch(unsafe.Pointer(&keys[0]), 1))
		got, n, err := e.GetValueBatch(unsafe.Pointer(&keys[0]), nil, ptr(uint32(0)), 1)
		show("read")(got, n, err)
	})

	onBoth("map-properties", "cpu_hash", func(e elements) {
		show("name")(e.Name())
		show("type")(e.Type(), e.Type().Name())
		show("sizes")(e.KeySize(), e.ValueSize(), e.MaxEntries())
		show("descriptor")(e.FileDescriptor() > 0)
	})

	add(map[string]func(){
		"map-settings": func() {
			m := openMaps()
			hash := getMap(m, "hash")
			for _, state := range []string{"opened", "loaded"} {
				show("names, %s", state)(hash.Name(), hash.GetName(), hash.Module() == m, hash.GetModule() == m)
				show("descriptor, %s", state)(hash.FileDescriptor() >= 0, hash.GetFd() >= 0, hash.FileDescriptor() == hash.GetFd())
				show("set entries, %s", state)(hash.SetMaxEntries(16))
				show("resize, %s", state)(hash.Resize(32))
				show("entries, %s", state)(hash.MaxEntries(), hash.GetMaxEntries())
				show("set type, %s", state)(hash.SetType(bpf.MapTypeLRUHash))
				show("set key size, %s", state)(hash.SetKeySize(8))
				show("set value size, %s", state)(hash.SetValueSize(16))
				show("sizes, %s", state)(hash.KeySize(), hash.ValueSize(), hash.Type())
				show("autocreate, %s", state)(hash.Autocreate(), hash.SetAutocreate(true), hash.Autocreate())
				show("others, %s", state)(hash.IfIndex(), hash.MapExtra(), hash.MapFlags())
				show("BTF, %s", state)(hash.BTFKeyTypeID() > 0, hash.BTFValueTypeID() > 0)
				show("pins, %s", state)(hash.IsPinned(), hash.PinPath(), hash.GetPinPath())
				if state == "opened" {
					show("load")(m.BPFLoadObject())
				}
			}
			info := must(bpf.GetMapInfoByFD(hash.FileDescriptor()))
			show("as the kernel sees it")(info.Type, info.KeySize, info.ValueSize, info.MaxEntries, info.Name, info.ID > 0)
		},
		"map-not-created": func() {
			m := openMaps()
			hash := getMap(m, "hash")
			check(hash.SetAutocreate(false))
			load(m)
			show("autocreate")(hash.Autocreate())
			show("read")(hash.GetValue(ptr(uint32(1))))
			show("descriptor")(hash.FileDescriptor() >= 0)
			show("by name")(m.GetMap("hash"))
		},
		"map-before-load": func() {
			m := openMaps()
			hash := getMap(m, "hash")
			show("read")(hash.GetValue(ptr(uint32(1))))
			show("write")(hash.Update(ptr(uint32(1)), ptr(uint64(1))))
			show("remove")(hash.DeleteKey(ptr(uint32(1))))
			show("pin")(hash.Pin(pinPath("map")))
			it := hash.Iterator()
			show("iterate")(it.Next())
			show("iterator's error")(it.Err())
			show("read a batch")(hash.DeleteKeyBatch(ptr(uint32(1)), 1))
		},
		"map-found-before-load": func() {
			m := openMaps()
			hash := getMap(m, "hash")
			load(m)
			show("write")(hash.Update(ptr(uint32(1)), ptr(uint64(1))))
			show("read")(hash.GetValue(ptr(uint32(1))))
			keys, values := []uint32{7}, []uint64{8}
			show("write a batch")(hash.UpdateBatch(unsafe.Pointer(&keys[0]), unsafe.Pointer(&values[0]), 1))
			show("read of the batch")(hash.GetValue(ptr(uint32(7))))
		},
		"map-read-into": func() {
			m := loadMaps()
			hash := getMap(m, "hash")
			check(hash.Update(ptr(uint32(1)), ptr(uint64(100))))
			value := make([]byte, 8)
			show("read")(hash.GetValueReadInto(ptr(uint32(1)), &value), value)
			long := make([]byte, 16)
			show("too long")(hash.GetValueReadInto(ptr(uint32(1)), &long), long)
			short := make([]byte, 4)
			show("too short")(hash.GetValueReadInto(ptr(uint32(1)), &short), short)
			show("missing")(hash.GetValueReadInto(ptr(uint32(2)), &value))
			cpus := make([]byte, must(bpf.CalcMapValueSize(8, bpf.MapTypePerCPUArray)))
			show("per CPU")(getMap(m, "cpu_array").GetValueReadInto(ptr(uint32(1)), &cpus), cpus)
			one := make([]byte, 8)
			show("per CPU, one's size")(getMap(m, "cpu_array").GetValueReadInto(ptr(uint32(1)), &one) == nil)
		},
		"map-read-into-nothing": func() {
			hash := getMap(loadMaps(), "hash")
			value := []byte{}
			show("empty slice")(hash.GetValueReadInto(ptr(uint32(1)), &value))
		},
		"map-lookup-and-delete": func() {
			hash := getMap(loadMaps(), "hash")
			check(hash.Update(ptr(uint32(1)), ptr(uint64(100))))
			var value uint64
			show("wrong size")(hash.LookupAndDeleteElem(ptr(uint32(1)), unsafe.Pointer(&value), 4, bpf.MapFlagUpdateAny))
			show("right size")(hash.LookupAndDeleteElem(ptr(uint32(1)), unsafe.Pointer(&value), 8, bpf.MapFlagUpdateAny), value)
			show("missing")(hash.LookupAndDeleteElem(ptr(uint32(1)), unsafe.Pointer(&value), 8, bpf.MapFlagUpdateAny))
		},
		"map-lookup-and-delete-low": func() {
			hash := low(getMap(loadMaps(), "hash"))
			check(hash.Update(ptr(uint32(1)), ptr(uint64(100))))
			var value uint64
			show("without flags")(hash.LookupAndDeleteElem(ptr(uint32(1)), unsafe.Pointer(&value)), value)
			show("missing")(hash.LookupAndDeleteElem(ptr(uint32(1)), unsafe.Pointer(&value)))
			check(hash.Update(ptr(uint32(1)), ptr(uint64(101))))
			show("wrong flag")(hash.LookupAndDeleteElemFlags(ptr(uint32(1)), unsafe.Pointer(&value), bpf.MapFlagUpdateExist))
			show("with flags")(hash.LookupAndDeleteElemFlags(ptr(uint32(1)), unsafe.Pointer(&value), bpf.MapFlagUpdateAny), value)
		},
		"map-pin": func() {
			m := loadMaps()
			hash := getMap(m, "hash")
			path := pinPath("map")
			show("pin")(hash.Pin(path), hash.IsPinned(), hash.PinPath() == path)
			show("again")(hash.Pin(path))
			show("elsewhere")(hash.Pin(path + "2"))
			show("another map")(getMap(m, "array").Pin(path))
			show("outside")(getMap(m, "array").Pin("/tmp/nothing"))
			show("nowhere")(getMap(m, "lru").Pin(""))
			show("unpin from elsewhere")(hash.Unpin(path + "2"))
			show("unpin")(hash.Unpin(path), hash.IsPinned())
			show("unpin again")(hash.Unpin(path))
			show("file")(fileExists(path))
			show("pin path")(hash.SetPinPath(path), hash.PinPath() == path)
			show("pin at it")(hash.Pin(""), hash.IsPinned())
			m.Close()
			show("file after close")(fileExists(path))
		},
		"map-pin-reused": func() {
			path := pinPath("map")
			first := openMaps()
			show("set path")(getMap(first, "hash").SetPinPath(path))
			show("load first")(first.BPFLoadObject())
			check(getMap(first, "hash").Update(ptr(uint32(1)), ptr(uint64(100))))
			first.Close()
			second := openMaps()
			check(getMap(second, "hash").SetPinPath(path))
			show("load second")(second.BPFLoadObject())
			show("what the first wrote")(getMap(second, "hash").GetValue(ptr(uint32(1))))
			other := openMaps()
			check(getMap(other, "hash").SetMaxEntries(99))
			check(getMap(other, "hash").SetPinPath(path))
			show("load with another size")(other.BPFLoadObject())
		},
		"map-reuse-fd": func() {
			first, second := loadMaps(), openMaps()
			check(getMap(first, "hash").Update(ptr(uint32(1)), ptr(uint64(100))))
			hash := getMap(second, "hash")
			show("no descriptor")(hash.ReuseFD(-1))
			show("reuse")(hash.ReuseFD(getMap(first, "hash").FileDescriptor()))
			load(second)
			show("what the first wrote")(hash.GetValue(ptr(uint32(1))))
			show("another kind after the load")(hash.ReuseFD(getMap(first, "cpu_hash").FileDescriptor()))
			show("sizes")(hash.KeySize(), hash.ValueSize(), hash.Type(), hash.Name())
		},
		"map-reuse-no-map": func() {
			m := openMaps()
			show("reuse")(getMap(m, "hash").ReuseFD(0))
		},
		"map-reuse-fd-low": func() {
			m := loadMaps()
			hash, array := low(getMap(m, "hash")), low(getMap(m, "array"))
			show("reuse")(hash.ReuseFD(array.FileDescriptor()))
			show("properties")(hash.Name(), hash.Type(), hash.MaxEntries(), hash.FileDescriptor() != array.FileDescriptor())
			show("read")(hash.GetValue(ptr(uint32(0))))
			before := descriptors()
			show("no descriptor")(hash.ReuseFD(-1))
			show("no map")(hash.ReuseFD(0))
			show("descriptors left")(descriptors() - before)
			show("properties then")(hash.Name(), hash.Type())
		},
		"map-of-maps": func() {
			m := openMaps()
			outer := getMap(m, "outer")
			info, err := outer.InnerMapInfo()
			check(err)
			show("inner map")(info.Type, info.KeySize, info.ValueSize, info.MaxEntries, info.Name, info.MapFlags)
			show("of a map that has none")(getMap(m, "hash").InnerMapInfo())
			show("of a map without an inner one")(getMap(m, "outer_of_any").InnerMapInfo())
			load(m)
			show("after the load")(outer.InnerMapInfo())
			inner := must(bpf.CreateMap(bpf.MapTypeHash, "inner", 4, 8, 16, nil))
			show("put in")(outer.Update(ptr(uint32(1)), ptr(uint32(inner.FileDescriptor()))))
			value := must(outer.GetValue(ptr(uint32(1))))
			got, err := bpf.GetMapByID(binary.NativeEndian.Uint32(value))
			show("get out")(err, got.Name(), got.MaxEntries())
			other := must(bpf.CreateMap(bpf.MapTypeArray, "other", 4, 8, 16, nil))
			show("put in another kind")(outer.Update(ptr(uint32(1)), ptr(uint32(other.FileDescriptor()))))
		},
		"map-no-inner-error": func() {
			_, err := getMap(openMaps(), "hash").InnerMapInfo()
			show("compared")(err == bpf.ErrNoInnerMap, errors.Is(err, bpf.ErrNoInnerMap))
		},
		"map-set-inner": func() {
			m := open(mapsObject)
			template := must(bpf.CreateMap(bpf.MapTypeHash, "template", 4, 8, 16, nil))
			outer := getMap(m, "outer_of_any")
			show("no descriptor")(outer.SetInnerMap(-1))
			show("into a map of another kind")(getMap(m, "hash").SetInnerMap(template.FileDescriptor()))
			show("set")(outer.SetInnerMap(template.FileDescriptor()))
			show("set again")(outer.SetInnerMap(template.FileDescriptor()))
			show("load")(m.BPFLoadObject())
			show("put in")(outer.Update(ptr(uint32(1)), ptr(uint32(template.FileDescriptor()))))
			show("set after the load")(outer.SetInnerMap(template.FileDescriptor()))
		},
		"map-struct-ops": func() {
			show("of a hash")(getMap(loadMaps(), "hash").AttachStructOps())
			show("before the load")(getMap(openMaps(), "hash").AttachStructOps())
		},
		"map-create": func() {
			created, err := bpf.CreateMap(bpf.MapTypeHash, "created", 4, 8, 16, &bpf.BPFMapCreateOpts{MapFlags: 1})
			show("create")(err, created.Name(), created.Type(), created.KeySize(), created.ValueSize(), created.MaxEntries())
			info := must(bpf.GetMapInfoByFD(created.FileDescriptor()))
			show("flags")(info.MapFlags, info.MapExtra, info.IfIndex, info.BTFID, info.BTFKeyTypeID, info.BTFValueTypeID,
				info.BTFVmlinuxValueTypeID, info.NetnsDev, info.NetnsIno)
			show("long name")(bpf.CreateMap(bpf.MapTypeHash, "a_name_that_is_too_long", 4, 8, 16, nil))
			show("wrong name")(bpf.CreateMap(bpf.MapTypeHash, "a name", 4, 8, 16, nil))
			show("no entries")(bpf.CreateMap(bpf.MapTypeHash, "created", 4, 8, 0, nil))
			show("no key")(bpf.CreateMap(bpf.MapTypeHash, "created", 0, 8, 1, nil))
			show("no kind")(bpf.CreateMap(bpf.MapType(999), "created", 4, 8, 1, nil))
			show("unknown flags")(bpf.CreateMap(bpf.MapTypeHash, "created", 4, 8, 1, &bpf.BPFMapCreateOpts{MapFlags: 1 << 31}))
			show("without an inner map")(bpf.CreateMap(bpf.MapTypeArrayOfMaps, "created", 4, 4, 1, nil))
			show("with an inner map")(bpf.CreateMap(bpf.MapTypeArrayOfMaps, "created", 4, 4, 1,
				&bpf.BPFMapCreateOpts{InnerMapFD: uint32(created.FileDescriptor())}))
		},
		"map-create-negative": func() {
			show("key size")(bpf.CreateMap(bpf.MapTypeHash, "created", -4, 8, 16, nil))
			show("value size")(bpf.CreateMap(bpf.MapTypeHash, "created", 4, -8, 16, nil))
			show("entries")(bpf.CreateMap(bpf.MapTypeHash, "created", 4, 8, -16, nil))
		},
		"map-ids": func() {
			created := must(bpf.CreateMap(bpf.MapTypeHash, "ids_of_compat", 4, 8, 16, nil))
			id := must(bpf.GetMapInfoByFD(created.FileDescriptor())).ID
			fd, err := bpf.GetMapFDByID(id)
			show("descriptor")(fd > 0, err)
			fd, err = bpf.GetMapFDByID(1 << 31)
			show("descriptor of none")(fd < 0, err)
			got, err := bpf.GetMapByID(id)
			show("map")(err, got.Name())
			show("no map")(bpf.GetMapByID(1 << 31))
			next, err := bpf.GetMapNextID(id - 1)
			show("next")(next == id, err)
			next, err = bpf.GetMapNextID(1 << 31)
			show("next of the last")(next == 1<<31, err)
			var start uint32
			ids, err := mapsIDsByName("ids_of_compat", &start)
			show("by name")(slices.Contains(ids, id), err, start >= id)
			show("by a name of none")(mapsIDsByName("nothing_of_compat", &start))
			show("information of no descriptor")(bpf.GetMapInfoByFD(-1))
			show("information of no map")(bpf.GetMapInfoByFD(0))
		},
		"map-value-size": func() {
			show("hash")(bpf.CalcMapValueSize(12, bpf.MapTypeHash))
			show("per CPU")(bpf.CalcMapValueSize(12, bpf.MapTypePerCPUHash))
			show("per CPU and cgroup")(bpf.CalcMapValueSize(12, bpf.MapTypePerCPUCgroupStorage))
			show("nothing")(bpf.CalcMapValueSize(0, bpf.MapTypeHash))
			show("less than nothing")(bpf.CalcMapValueSize(-1, bpf.MapTypeHash))
		},
		"bloom-elements": func() {
			bloom := must(bpf.CreateMap(bpf.MapTypeBloomFilter, "bloom", 0, 8, 16, nil))
			show("read")(bloom.GetValue(nil))
			show("write")(bloom.Update(nil, ptr(uint64(7))))
			show("write with a key")(bloom.Update(ptr(uint64(7)), ptr(uint64(7))))
		},
		"map-low-closed": func() {
			created := must(bpf.CreateMap(bpf.MapTypeHash, "created", 4, 8, 16, nil))
			check(syscall.Close(created.FileDescriptor()))
			show("read")(created.GetValue(ptr(uint32(1))))
			it := created.Iterator()
			show("next")(it.Next())
			show("error")(it.Err())
		},
	})
}

// mapsIDsByName calls GetMapsIDsByName, starting with the first map. It repeats the call on ENOENT: the release returns
// that if a map of the machine is freed meanwhile.
func mapsIDsByName(name string, start *uint32) (ids []uint32, err error) {
	for {
		*start = 0
		if ids, err = bpf.GetMapsIDsByName(name, start); !errors.Is(err, syscall.ENOENT) {
			return ids, err
		}
	}
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func pushAndPop(e elements) {
	show("read of none")(e.GetValue(nil))
	show("pop of none")(e.GetValueAndDeleteKey(nil))
	for i := range uint32(3) {
		show("push %d", i)(e.Update(nil, ptr(i)))
	}
	show("push in the place of the oldest")(e.UpdateValueFlags(nil, ptr(uint32(3)), bpf.MapFlagUpdateExist))
	show("look")(e.GetValue(nil))
	show("pop")(e.GetValueAndDeleteKey(nil))
	show("pop again")(e.GetValueAndDeleteKey(nil))
	show("pop of none left")(e.GetValueAndDeleteKey(nil))
}

// readAll reads a hash map in one batch. It sorts the values, because their order differs from map to map.
func readAll(e elements, read func(keys, start, next unsafe.Pointer, count uint32) ([][]byte, uint32, error)) ([]uint64, uint32, error) {
	keys := make([]uint32, e.MaxEntries())
	var all []uint64
	var next uint32
	got, n, err := read(unsafe.Pointer(&keys[0]), nil, unsafe.Pointer(&next), e.MaxEntries())
	for _, value := range got {
		all = append(all, binary.NativeEndian.Uint64(value))
	}
	slices.Sort(all)
	return all, n, err
}
