package main

import (
	"errors"
	"os"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
)

func init() {
	add(map[string]func(){
		"open-file": func() {
			m, err := bpf.NewModuleFromFile(mainObject)
			show("open")(m, err)
			show("load")(m.BPFLoadObject())
			show("close")()
			m.Close()
		},
		"open-buffer": func() {
			object := must(os.ReadFile(mainObject))
			m, err := bpf.NewModuleFromBuffer(object, "object")
			show("open")(m, err)
			clear(object)
			show("load")(m.BPFLoadObject())
			m.Close()
			show("args")(bpf.NewModuleFromBufferArgs(bpf.NewModuleArgs{
				BPFObjBuff: must(os.ReadFile(mainObject)), BPFObjName: "object", SkipMemlockBump: true, KernelLogLevel: 1,
			}))
			show("without a name")(bpf.NewModuleFromBuffer(must(os.ReadFile(mainObject)), ""))
		},
		"open-nothing": func() {
			show("missing file")(bpf.NewModuleFromFile("/nothing"))
			show("folder")(bpf.NewModuleFromFile("/"))
			show("no ELF file")(bpf.NewModuleFromFile("/dev/null"))
			show("no BPF")(bpf.NewModuleFromFile("/proc/self/exe"))
			show("empty path")(bpf.NewModuleFromFile(""))
			show("empty buffer")(bpf.NewModuleFromBuffer([]byte{}, "object"))
			show("nil buffer")(bpf.NewModuleFromBuffer(nil, "object"))
			show("half an object")(bpf.NewModuleFromBuffer(must(os.ReadFile(mainObject))[:1000], "object"))
			show("no ELF in a buffer")(bpf.NewModuleFromBuffer(make([]byte, 1000), "object"))
		},
		"open-refused-memlock": func() {
			show("open")(bpf.NewModuleFromFile(mainObject))
			show("without raising")(bpf.NewModuleFromFileArgs(bpf.NewModuleArgs{BPFObjPath: mainObject, SkipMemlockBump: true}))
		},
		"open-descriptors": func() {
			r, w, err := os.Pipe() // with the first pipe, the runtime opens its own descriptors
			check(errors.Join(err, r.Close(), w.Close()))
			before := descriptors()
			_, err = bpf.NewModuleFromFile("/proc/self/exe")
			show("after an object that isn't one")(err == nil, descriptors()-before)
			before = descriptors()
			open(mainObject).Close()
			show("after an object that wasn't loaded")(descriptors() - before)
		},
		"open-btf-path": func() {
			m, err := bpf.NewModuleFromFileArgs(bpf.NewModuleArgs{BPFObjPath: mainObject, BTFObjPath: "/sys/kernel/btf/vmlinux"})
			show("the kernel's")(m, err)
			show("load")(m.BPFLoadObject())
			show("missing")(bpf.NewModuleFromFileArgs(bpf.NewModuleArgs{BPFObjPath: mainObject, BTFObjPath: "/nothing"}))
			m, err = bpf.NewModuleFromFileArgs(bpf.NewModuleArgs{BPFObjPath: "testdata/kconfig.bpf.o", BTFObjPath: "/nothing"})
			if show("missing where it is needed")(m, err); err == nil {
				show("load")(m.BPFLoadObject())
			}
		},
		"open-kconfig": func() {
			file := must(os.CreateTemp("", "kconfig"))
			defer os.Remove(file.Name())
			must(file.WriteString("CONFIG_LIBBPFGO_TEST=123\n"))
			m := must(bpf.NewModuleFromFileArgs(bpf.NewModuleArgs{BPFObjPath: "testdata/kconfig.bpf.o", KConfigFilePath: file.Name()}))
			show("load")(m.BPFLoadObject())
			must(getProgram(m, "read_config").AttachGeneric())
			trigger(0)
			show("value seen by the program")(counter(m, ".bss", 0) & 0xffffffff)
		},
		"load-rejected": func() {
			m := open("testdata/rejected.bpf.o")
			show("load")(m.BPFLoadObject())
			show("again")(m.BPFLoadObject())
			m.Close()
		},
		"load-twice": func() {
			m := loadFor(mainObject)
			show("second load")(m.BPFLoadObject())
		},
		"find-by-name": func() {
			m := open(mainObject)
			for _, loaded := range []string{"opened", "loaded"} {
				show("map, %s", loaded)(m.GetMap("numbers"))
				show("no map, %s", loaded)(m.GetMap("nothing"))
				show("map of an empty name, %s", loaded)(m.GetMap(""))
				show("section's map, %s", loaded)(m.GetMap(".rodata"))
				show("program, %s", loaded)(m.GetProgram("count"))
				show("no program, %s", loaded)(m.GetProgram("nothing"))
				show("by section, %s", loaded)(m.GetProgram("raw_tp/sys_enter"))
				if loaded == "opened" {
					load(m)
				}
			}
		},
		"iterate-object": func() {
			m := open(mainObject)
			for _, loaded := range []string{"opened", "loaded"} {
				it := m.Iterator()
				for bpfMap := it.NextMap(); bpfMap != nil; bpfMap = it.NextMap() {
					show("map, %s", loaded)(bpfMap.Name(), bpfMap.Type(), bpfMap.FileDescriptor() > 0)
				}
				for prog := it.NextProgram(); prog != nil; prog = it.NextProgram() {
					show("program, %s", loaded)(prog.Name(), prog.GetType(), prog.FileDescriptor() > 0)
				}
				show("map after the last, %s", loaded)(it.NextMap())
				if loaded == "opened" {
					load(m)
				}
			}
		},
		"globals": func() {
			m := openMaps()
			show("number")(m.InitGlobalVariable("answer", uint32(43)))
			show("structure")(m.InitGlobalVariable("settings", struct {
				Number uint32
				Flags  [4]uint8
				Large  uint64
			}{1, [4]uint8{1, 2, 3, 4}, 5}))
			show(".data")(m.InitGlobalVariable("last", uint32(10)))
			show("smaller value")(m.InitGlobalVariable("changing", uint8(8)))
			show("slice")(m.InitGlobalVariable("changing", []uint8{1, 2}))
			show("section of its own")(m.InitGlobalVariable("in_own_section", uint64(2)))
			show(".bss")(m.InitGlobalVariable("zero", uint16(1)))
			show("larger value")(m.InitGlobalVariable("answer", uint64(1)))
			show("larger structure")(m.InitGlobalVariable("settings", [4]uint64{}))
			show("missing")(m.InitGlobalVariable("nothing", uint32(1)))
			show("function")(m.InitGlobalVariable("uses_globals", uint32(1)))
			show("map")(m.InitGlobalVariable("hash", uint32(1)))
			show("no fixed size")(m.InitGlobalVariable("answer", 1))
			show("string")(m.InitGlobalVariable("answer", "1"))
			show("empty")(m.InitGlobalVariable("answer", []uint8{}))
			load(m)
			for _, name := range []string{".rodata", ".data", ".data.own", ".bss"} {
				show("content of %s", name)(getMap(m, name).GetValue(ptr(uint32(0))))
			}
			show("after the load")(m.InitGlobalVariable("answer", uint32(43)))
		},
		"global-nil": func() {
			m := openMaps()
			show("nil")(m.InitGlobalVariable("answer", nil))
		},
		"initial-value": func() {
			m := openMaps()
			rodata := getMap(m, ".rodata")
			value, err := rodata.InitialValue()
			show("read")(value, err)
			for i := range value {
				value[i] = byte(i)
			}
			show("write")(rodata.SetInitialValue(unsafe.Pointer(&value[0])))
			show("read again")(rodata.InitialValue())
			show("write to .bss")(getMap(m, ".bss").SetInitialValue(ptr(uint64(77))))
			show("read of a map without")(getMap(m, "hash").InitialValue())
			show("write to a map without")(getMap(m, "hash").SetInitialValue(ptr(uint64(77))))
			show("read of a queue")(getMap(m, "queue").InitialValue())
			load(m)
			show("content")(rodata.GetValue(ptr(uint32(0))))
			show("read after the load")(rodata.InitialValue())
			show("write after the load")(rodata.SetInitialValue(unsafe.Pointer(&value[0])))
		},
	})
}
