package libbpfgo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beforeLoad is what must be done before the load.
func beforeLoad(t *testing.T, m *Module) map[string]error {
	t.Helper()
	bpfMap, prog, data := getMap(t, m, "numbers"), getProgram(t, m, "count"), getMap(t, m, ".data")
	value := make([]byte, data.ValueSize())
	return map[string]error{
		"set capacity of map":          bpfMap.SetMaxEntries(7),
		"set type of map":              bpfMap.SetType(MapTypeArray),
		"set key size of map":          bpfMap.SetKeySize(8),
		"set value size of map":        bpfMap.SetValueSize(8),
		"set flags of map":             bpfMap.SetMapFlags(0),
		"set map_extra of map":         bpfMap.SetMapExtra(0),
		"set NUMA node of map":         bpfMap.SetNUMANode(0),
		"set interface index of map":   bpfMap.SetIfIndex(0),
		"set autocreate of map":        bpfMap.SetAutocreate(false),
		"set initial value of map":     data.SetInitialValue(unsafe.Pointer(&value[0])),
		"set global variable":          m.InitGlobalVariable("limit", uint64(1)),
		"set autoload of program":      prog.SetAutoload(false),
		"set type of program":          prog.SetType(BPFProgTypeKprobe),
		"set attach type of program":   prog.SetExpectedAttachType(BPFAttachTypePerfEvent),
		"set attach target of program": prog.SetAttachTarget(0, "x"),
		"load object":                  m.BPFLoadObject(),
	}
}

func TestTooLate(t *testing.T) {
	failed := openMain(t)
	if err := getMap(t, failed, "numbers").SetMaxEntries(0); err != nil {
		t.Fatal(err)
	}
	wantErr(t, failed.BPFLoadObject(), syscall.EINVAL, "numbers", "1 entry or more")
	for what, err := range beforeLoad(t, loadMain(t)) {
		checkTooLate(t, what, err, "the object was loaded already")
	}
	for what, err := range beforeLoad(t, failed) {
		// libbpf takes some of these changes, which have no effect any more.
		if err != nil {
			checkTooLate(t, what, err, "the object's load has failed, open it again")
		}
	}
	wantErr(t, getProgram(t, failed, "count").SetAutoload(false), syscall.EINVAL, "load has failed")
	if needLibbpf(1, 6, "") != nil {
		return
	}
	m := openMain(t)
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, m.Prepare(), syscall.EINVAL, "the object was prepared already")
	wantErr(t, getMap(t, m, "numbers").SetMaxEntries(7), syscall.EBUSY, "the object was prepared already")
}

func checkTooLate(t *testing.T, what string, err error, reason string) {
	t.Helper()
	if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EINVAL) || !strings.HasPrefix(err.Error(), what) || !strings.Contains(err.Error(), reason) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestRefusedMaps(t *testing.T) {
	needBPF(t)
	for _, test := range []struct {
		mapType             MapType
		name                string
		key, value, entries int
		flags               uint32
		want                []string
	}{
		{MapTypeHash, "a-b", 4, 4, 1, 0, []string{"letters, digits, _ and ."}},
		{MapTypeHash, "h\u00e4", 4, 4, 1, 0, []string{"letters, digits"}},
		{MapTypeRingbuf, "r", 0, 0, 5000, 0, []string{"BPF_MAP_TYPE_RINGBUF", "power of two", "multiple of the page size"}},
		{MapTypeRingbuf, "r", 4, 4, 4096, 0, []string{"no keys", "no values"}},
		{MapTypeUserRingbuf, "r", 0, 0, 100, 0, []string{"must have", "power of two"}},
		{MapTypeArray, "a", 8, 4, 1, 0, []string{"keys of 4 bytes"}},
		{MapTypeArray, "a", 4, 0, 0, 0, []string{"values of 1 byte", "1 entry"}},
		{MapTypeHash, "h", 0, 4, 0, 0, []string{"keys of 1 byte", "1 entry"}},
		{MapTypeQueue, "q", 4, 4, 1, 0, []string{"no keys"}},
		{MapTypeBloomFilter, "b", 4, 4, 1, 0, []string{"no keys"}},
		{MapTypePerfEventArray, "p", 4, 8, 1, 0, []string{"values of 4 bytes"}},
		{MapTypeDevMap, "d", 4, 16, 1, 0, []string{"values of 4 or 8 bytes"}},
		{MapTypeStackTrace, "s", 4, 4, 1, 0, []string{"multiple of 8 bytes"}},
		{MapTypeLPMTrie, "l", 4, 4, 1, 0, []string{"keys of 5 to 260 bytes", "BPF_F_NO_PREALLOC"}},
		{MapTypeTaskStorage, "t", 4, 4, 1, 0, []string{"0 entries", "BPF_F_NO_PREALLOC", "BTF types"}},
		{MapTypeArena, "a", 4, 0, 1, 0, []string{"no keys", "BPF_F_MMAPABLE"}},
		{MapTypeHash, "h", 4, 4, 1, 1 << 30, []string{"flags (0x40000000)"}},
	} {
		created, err := CreateMap(test.mapType, test.name, test.key, test.value, test.entries, &BPFMapCreateOpts{MapFlags: test.flags})
		if err == nil {
			created.Close()
			t.Errorf("%v: no error", test)
			continue
		}
		if errors.Is(err, syscall.EINVAL) {
			wantErr(t, err, syscall.EINVAL, append(test.want, fmt.Sprintf("create map %q", test.name))...)
		} else {
			t.Logf("%v: %v", test.mapType, err)
		}
	}
}

// The rules name nothing that the kernel takes.
func TestMapsThatAreNotRefused(t *testing.T) {
	needBPF(t)
	for _, info := range []BPFMapInfo{
		{Type: MapTypeRingbuf, MaxEntries: 1 << 16},
		{Type: MapTypeQueue, ValueSize: 1, MaxEntries: 1},
		{Type: MapTypeArray, KeySize: 4, ValueSize: 1, MaxEntries: 1},
		{Type: MapTypeProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 1},
		{Type: MapTypeCPUMap, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		{Type: MapTypeDevmapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		{Type: MapTypeSockMap, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		{Type: MapTypeReusePortSockArray, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		{Type: MapTypeStackTrace, KeySize: 4, ValueSize: 8 * maxStackDepth, MaxEntries: 1},
		{Type: MapTypeHash, KeySize: 1, ValueSize: 1, MaxEntries: 1},
		{Type: MapTypeLPMTrie, KeySize: 260, ValueSize: 1, MaxEntries: 1, MapFlags: unix.BPF_F_NO_PREALLOC},
		{Type: MapTypeLPMTrie, KeySize: 5, ValueSize: 1, MaxEntries: 1, MapFlags: unix.BPF_F_NO_PREALLOC},
	} {
		created, err := CreateMap(info.Type, "M_1.x", int(info.KeySize), int(info.ValueSize), int(info.MaxEntries), &BPFMapCreateOpts{MapFlags: info.MapFlags})
		if err != nil {
			t.Error(err)
			continue
		}
		created.Close()
		if wrong := violations(info); len(wrong) != 0 {
			t.Errorf("%v: %v", info.Type, wrong)
		}
	}
}

// EPERM does not point to the limit of locked memory where the kernel doesn't count by it.
func TestRefusedLoad(t *testing.T) {
	needBPF(t)
	noLimit := func(err error) {
		t.Helper()
		if !countsLockedMemory() && (strings.Contains(err.Error(), "ulimit") || strings.Contains(err.Error(), "MEMLOCK")) {
			t.Errorf("the limit is named: %v", err)
		}
	}
	m, err := NewModuleFromFile("testdata/slow.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	withCapabilities(t, nil, func() {
		err := m.BPFLoadObject()
		if err == nil {
			return // kernel.unprivileged_bpf_disabled is 0
		}
		wantErr(t, err, syscall.EPERM, "CAP_BPF, which the thread does not have")
		noLimit(err)
	})

	again, err := NewModuleFromFile("testdata/slow.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := getProgram(t, again, "slow").SetType(BPFProgTypeLsm); err != nil {
		t.Fatal(err)
	}
	err = again.BPFLoadObject()
	if err == nil {
		t.Fatal("a program without a target is loaded")
	}
	noLimit(err)
	if errors.Is(err, syscall.EPERM) {
		wantErr(t, err, syscall.EPERM, "BPF_PROG_TYPE_LSM need CAP_BPF and CAP_PERFMON, which the thread has", "lockdown")
	}
}

// A program may be refused by EPERM with the verifier's log, too, as an iterator over a map's elements by some builds.
func TestRefusedLoadWithLog(t *testing.T) {
	o := openMain(t).object
	const unverified = "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0"
	err := &VerifierError{Program: "count", Log: unverified, err: syscall.EPERM}
	o.explainRefusal(err)
	wantErr(t, err, syscall.EPERM, "load program \"count\": programs of type", "lockdown")
	for name, err := range map[string]error{
		"verified":     &VerifierError{Program: "count", Log: "R1 is wrong\nprocessed 1 insns", err: syscall.EPERM},
		"another code": &VerifierError{Program: "count", Log: unverified, err: syscall.EINVAL},
		"no program":   &VerifierError{Program: "no such", Log: unverified, err: syscall.EPERM},
		"odd name":     &opError{what: "load", err: syscall.EPERM, warnings: []string{"prog 'no such': BPF program load failed: -EPERM"}},
	} {
		before := err.Error()
		if o.explainRefusal(err); err.Error() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusedAttachments(t *testing.T) {
	for _, test := range []struct {
		linkType LinkType
		err      syscall.Errno
		want     string
	}{
		{Kprobe, syscall.EADDRNOTAVAIL, "several functions"},
		{Kretprobe, syscall.ENOENT, "no such function"},
		{Kprobe, syscall.EILSEQ, "no instruction"},
		{Kprobe, syscall.EINVAL, ""},
		{Uprobe, syscall.EEXIST, "already"},
		{Uretprobe, syscall.ENOEXEC, "no instruction"},
		{Uprobe, syscall.ESRCH, ""},
		{USDT, syscall.ESRCH, "usdt.bpf.h"},
		{RawTracepoint, syscall.ENOENT, "no such target"},
		{Tracing, syscall.EBUSY, "already"},
		{XDP, syscall.EBUSY, "does not go together"},
		{Cgroup, syscall.E2BIG, "limit of programs"},
		{TCX, syscall.ESTALE, "revision"},
		{Iter, syscall.EBUSY, "already"},
	} {
		got := attachRefusal(test.linkType, test.err)
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%v, %v: %q", test.linkType, test.err, got)
		}
	}
	withCapabilities(t, nil, func() {
		if got := attachRefusal(Tracepoint, syscall.EACCES); !strings.Contains(got, "CAP_PERFMON") {
			t.Errorf("%q", got)
		}
	})
}

func TestAttachToWhatIsTaken(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	link, err := prog.AttachXDP("lo")
	if err != nil {
		t.Fatal(err)
	}
	defer link.Destroy()
	_, err = prog.AttachXDP("lo")
	wantErr(t, err, syscall.EBUSY, "a program is attached there already")
	_, err = getProgram(t, loadMain(t), "count").AttachRawTracepoint("no_such_point")
	wantErr(t, err, syscall.ENOENT, "no such target")
}

// An attachment that the program is of the wrong type for names the type; an argument that is wrong names itself.
func TestAttachOfWrongType(t *testing.T) {
	m := loadAttach(t, "on_xdp", "on_uprobe")
	prog := getProgram(t, m, "on_uprobe")
	_, err := prog.AttachXDP("lo")
	wantErr(t, err, syscall.EINVAL, "the program is of type BPF_PROG_TYPE_KPROBE")
	_, err = prog.AttachUprobe(-2, "/bin/true", 0)
	wantErr(t, err, syscall.EINVAL, "process -2")
	if strings.Contains(err.Error(), "BPF_PROG_TYPE") {
		t.Error(err)
	}
}

// libbpf warns once that an object lacks the maps of static tracepoints, and has ESRCH for every attempt.
func TestAttachUSDTWithoutMaps(t *testing.T) {
	prog := getProgram(t, loadAttach(t, "on_uprobe"), "on_uprobe")
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, buildTarget(targetSpec{}), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := prog.AttachUSDT(-1, target, "test", "probe")
		wantErr(t, err, syscall.ESRCH, "does not include bpf/usdt.bpf.h")
	}
}
