package libbpfgo

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make builds it)", err)
	}
	return data
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "object.bpf.o")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// leaksNothing runs f and fails if it leaves more descriptors open than there were.
func leaksNothing(t testing.TB, f func()) {
	t.Helper()
	before := countOpenFiles()
	f()
	if after := countOpenFiles(); after != before {
		t.Errorf("%d open descriptors, %d before", after, before)
	}
}

// patch returns a copy of an object with a field of its ELF header set.
func patch(image []byte, offset int, value uint16) []byte {
	image = bytes.Clone(image)
	binary.LittleEndian.PutUint16(image[offset:], value)
	return image
}

const (
	elfClass   = 4  // offset of the class, which the byte order follows
	elfType    = 16 // offset of e_type
	elfMachine = 18 // offset of e_machine
)

// recovered returns the error of f, or an error if f panics.
func recovered(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked: %v", r)
		}
	}()
	return f()
}

func TestOpenBadInput(t *testing.T) {
	image := readFile(t, mainObject)
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	withoutBTF := bytes.ReplaceAll(image, []byte(".BTF"), []byte(".XTF"))

	for name, test := range map[string]struct {
		path     string
		content  []byte
		want     error
		mentions string
	}{
		"missing":            {path: filepath.Join(dir, "nothing.o"), want: fs.ErrNotExist, mentions: "no such file"},
		"directory":          {path: dir, want: syscall.EISDIR, mentions: "directory"},
		"pipe":               {path: pipe, want: syscall.EINVAL, mentions: "not a regular file"},
		"device":             {path: "/dev/zero", want: syscall.EINVAL, mentions: "not a regular file"},
		"zero byte in name":  {path: "a\x00b", want: syscall.EINVAL},
		"no name":            {path: "", want: fs.ErrNotExist},
		"empty":              {content: []byte{}, want: LibbpfErrnoFormat, mentions: "empty"},
		"text":               {content: []byte("int main() { return 0; }\n"), want: LibbpfErrnoFormat, mentions: "not an ELF file"},
		"executable":         {path: executable, want: LibbpfErrnoFormat, mentions: "not a BPF object"},
		"of another machine": {content: patch(image, elfMachine, uint16(elf.EM_X86_64)), want: LibbpfErrnoFormat, mentions: "EM_X86_64"},
		"of 32 bits":         {content: patch(image, elfClass, 0x0101), want: LibbpfErrnoFormat},
		"of big endian":      {content: patch(image, elfClass, 0x0202), want: LibbpfErrnoFormat},
		"no relocatable":     {content: patch(image, elfType, uint16(elf.ET_EXEC)), want: LibbpfErrnoFormat, mentions: "ET_EXEC"},
		"without BTF":        {content: withoutBTF, want: syscall.ENOENT, mentions: "BTF is required"},
	} {
		t.Run(name, func(t *testing.T) {
			open := func(m *Module, err error, what string) {
				t.Helper()
				if err == nil {
					m.Close()
					t.Fatal("was opened")
				}
				wantErr(t, err, test.want, "open object", what, test.mentions)
			}
			leaksNothing(t, func() {
				path := test.path
				if test.content != nil {
					m, err := NewModuleFromBuffer(test.content, "name of it")
					open(m, err, "name of it")
					path = writeFile(t, test.content)
				}
				m, err := NewModuleFromFile(path)
				what := filepath.Base(path)
				if strings.ContainsRune(path, 0) || path == "" {
					what = ""
				}
				open(m, err, what)
			})
		})
	}
}

func TestOpenNilBuffer(t *testing.T) {
	_, err := NewModuleFromBuffer(nil, "nothing")
	wantErr(t, err, LibbpfErrnoFormat, "nothing", "empty")
	_, err = NewModuleFromBuffer(readFile(t, mainObject), "a\x00b")
	wantErr(t, err, syscall.EINVAL, "zero byte")
}

func TestOpenTruncated(t *testing.T) {
	for _, object := range []string{mainObject, rejectedObject} {
		image := readFile(t, object)
		leaksNothing(t, func() {
			for n := 0; n < len(image); n += 64 {
				m, err := NewModuleFromBuffer(image[:n], "truncated")
				if err == nil {
					m.Close()
					t.Errorf("%s: %d of %d bytes are taken for an object", object, n, len(image))
					continue
				}
				wantErr(t, err, LibbpfErrnoFormat, "truncated")
				path := writeFile(t, image[:n])
				if m, err := NewModuleFromFile(path); err == nil {
					m.Close()
					t.Errorf("%s: a file of %d of %d bytes is taken for an object", object, n, len(image))
				} else if !strings.Contains(err.Error(), path) {
					t.Errorf("error %q doesn't name the file", err)
				}
			}
		})
	}
}

// A damaged object may be opened or refused; nothing else may happen.
func TestOpenCorrupted(t *testing.T) {
	image := readFile(t, mainObject)
	rng := rand.New(rand.NewPCG(3, 4))
	leaksNothing(t, func() {
		for range 3000 {
			damaged := bytes.Clone(image)
			for range 1 + rng.IntN(3) {
				damaged[rng.IntN(len(damaged))] ^= byte(1 + rng.IntN(255))
			}
			if m, err := NewModuleFromBuffer(damaged, "damaged"); err == nil {
				m.Close()
			} else if !strings.Contains(err.Error(), "damaged") {
				t.Errorf("error %q doesn't name the object", err)
			}
		}
	})
}

// Each byte of an object in turn is damaged, so that sizes and offsets become negative. The object is
// one that has an external variable, whose size libbpf looks up. A crash is a child's.
func TestOpenWithEachByteDamaged(t *testing.T) {
	if !isChild(t.Name()) {
		inChild(t, t.Name())
		return
	}
	image := readFile(t, "testdata/kconfig.bpf.o")
	leaksNothing(t, func() {
		for i, before := range image {
			image[i] = 0xff
			if m, err := NewModuleFromBuffer(image, "damaged"); err == nil {
				for it := m.Iterator(); it.NextMap() != nil || it.NextProgram() != nil; {
				}
				m.Close()
			} else if !strings.Contains(err.Error(), "damaged") {
				t.Errorf("byte %d: error %q doesn't name the object", i, err)
			}
			image[i] = before
		}
	})
}

func TestBufferIsCopied(t *testing.T) {
	image := readFile(t, mainObject)
	m, err := NewModuleFromBuffer(image, "main")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	clear(image)
	needBPF(t)
	if err := m.InitGlobalVariable("target_pid", uint32(1)); err != nil {
		t.Error(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Error(err)
	}
}

func TestRejectedProgram(t *testing.T) {
	needBPF(t)
	leaksNothing(t, func() {
		m, err := NewModuleFromFile(rejectedObject)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		err = m.BPFLoadObject()
		if isChild(t.Name()) {
			return
		}
		var rejected *VerifierError
		if !errors.As(err, &rejected) {
			t.Fatalf("error is %v, want a VerifierError", err)
		}
		wantErr(t, err, syscall.EACCES, `load program "reads_anywhere": permission denied`, "invalid mem access")
		if rejected.Program != "reads_anywhere" {
			t.Errorf("program is %q", rejected.Program)
		}
		for _, s := range []string{"R1=ctx", "invalid mem access", "processed "} {
			if !strings.Contains(rejected.Log, s) {
				t.Errorf("log doesn't have %q:\n%s", s, rejected.Log)
			}
		}
		wantErr(t, m.BPFLoadObject(), syscall.EINVAL, "rejected.bpf.o")
		prog, err := m.GetProgram("reads_anywhere")
		if err != nil {
			t.Fatal(err)
		}
		_, err = prog.AttachGeneric()
		wantErr(t, err, syscall.EINVAL, "reads_anywhere")
	})
	if !isChild(t.Name()) {
		if stderr := inChild(t, t.Name()); stderr != "" {
			t.Errorf("stderr has %q beside the error", stderr)
		}
	}
}

// signalled runs f on a thread that a signal comes to every millisecond.
func signalled(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := syscall.Gettid()
	ended := make(chan struct{})
	var signalling sync.WaitGroup
	signalling.Add(1)
	go func() {
		defer signalling.Done()
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			select {
			case <-ended:
				tick.Stop()
				return
			default:
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			}
		}
	}()
	f()
	close(ended)
	signalling.Wait()
}

// A signal makes the verifier give up. libbpf tries five times.
func TestLoadDespiteSignals(t *testing.T) {
	needBPF(t)
	m, err := NewModuleFromFile("testdata/slow.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	signalled(func() {
		if err := m.BPFLoadObject(); err != nil {
			t.Error(err)
		}
	})
}

// The signals come when the call has ended, and its log callbacks have theirs of faults.
func TestSignalsAfterTheLoad(t *testing.T) {
	needBPF(t)
	var panicked any
	SetLoggerCbs(Callbacks{Log: func(int, string) {
		defer func() { panicked = recover() }()
		var nothing *int
		*nothing = 1
	}})
	defer SetLoggerCbs(Callbacks{})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &before); err != nil {
		t.Fatal(err)
	}
	loadMain(t)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &after); err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Errorf("the thread's signals are %v, %v before", after, before)
	}
	if panicked == nil {
		t.Error("the fault in a callback did not panic")
	}
}

func TestLoadTwice(t *testing.T) {
	m := loadMain(t)
	leaksNothing(t, func() { wantErr(t, m.BPFLoadObject(), syscall.EINVAL, "main.bpf.o") })
	if getMap(t, m, "numbers").FileDescriptor() < 0 {
		t.Error("the map is gone")
	}
}

// A load that fails takes everything back, and what needs a loaded object says so.
func TestFailedLoad(t *testing.T) {
	leaksNothing(t, func() {
		m := openMain(t)
		defer m.Close()
		numbers, events := getMap(t, m, "numbers"), getMap(t, m, "events") // events is created first
		if err := numbers.SetMaxEntries(0); err != nil {
			t.Fatal(err)
		}
		wantErr(t, m.BPFLoadObject(), syscall.EINVAL, `load object "main.bpf.o"`, "map 'numbers': failed to create")
		wantErr(t, m.BPFLoadObject(), syscall.EINVAL, "main.bpf.o")
		if fd := events.FileDescriptor(); fd != -1 {
			t.Errorf("map of an object that isn't loaded has descriptor %d", fd)
		}
		wantErr(t, numbers.UpdateElem(key4(1), value8(1), 0), syscall.ENOENT, "numbers", "not created")
		_, err := m.InitRingBuf("events", make(chan []byte))
		wantErr(t, err, syscall.ENOENT, "events", "not created")
		_, err = getProgram(t, m, "count").AttachGeneric()
		wantErr(t, err, syscall.EINVAL, `"count"`)
	})
}

func TestPrepare(t *testing.T) {
	m := openMain(t)
	numbers := getMap(t, m, "numbers")
	err := m.Prepare()
	if needLibbpf(1, 6, "") != nil {
		wantErr(t, err, errors.ErrUnsupported, "bpf_object__prepare", "libbpf 1.6", LibbpfVersionString())
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := numbers.UpdateElem(make([]byte, 4), make([]byte, 8), MapFlagUpdateAny); err != nil {
		t.Errorf("map of a prepared object: %v", err)
	}
	leaksNothing(t, func() { wantErr(t, m.Prepare(), syscall.EINVAL, `prepare object "main.bpf.o"`) })
	wantErr(t, numbers.SetMaxEntries(7), syscall.EBUSY, "numbers")
	wantErr(t, m.InitGlobalVariable("limit", uint64(7)), syscall.EBUSY, "limit")
	prog, err := m.GetProgram("count")
	if err != nil {
		t.Fatal(err)
	}
	if fd := prog.FileDescriptor(); fd >= 0 {
		t.Errorf("program of a prepared object has descriptor %d", fd)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	if fd := prog.FileDescriptor(); fd < 0 {
		t.Errorf("program of a loaded object has descriptor %d", fd)
	}
}

func TestUnknownNames(t *testing.T) {
	m := openMain(t)
	leaksNothing(t, func() {
		for _, name := range []string{"nothing", "", "numbers2", "number"} {
			_, err := m.GetMap(name)
			wantErr(t, err, syscall.ENOENT, "map", `"`+name+`"`, "main.bpf.o")
			_, err = m.GetProgram(name)
			wantErr(t, err, syscall.ENOENT, "program", `"`+name+`"`, "main.bpf.o")
		}
		_, err := m.GetMap("numbers\x00")
		wantErr(t, err, syscall.EINVAL, "zero byte")
		_, err = m.GetProgram("count\x00")
		wantErr(t, err, syscall.EINVAL, "zero byte")
	})
}

func TestGetMapIsTheSameEachTime(t *testing.T) {
	m := openMain(t)
	if first, second := getMap(t, m, "numbers"), getMap(t, m, "numbers"); first != second {
		t.Error("two handles of one map")
	}
}

func TestInitGlobalVariable(t *testing.T) {
	m := openMain(t)
	wantErr(t, m.InitGlobalVariable("nothing", uint32(1)), syscall.ENOENT, "nothing")
	wantErr(t, m.InitGlobalVariable("sent", uint64(1)), syscall.ENOENT, "sent") // .bss has no initial value
	wantErr(t, m.InitGlobalVariable("target_pid", uint64(1)), syscall.EINVAL, "8 bytes", "of 4")
	if err := m.InitGlobalVariable("target_pid", "text"); err == nil || !strings.Contains(err.Error(), "type string") {
		t.Errorf("a string for a number: %v", err)
	}
	if err := m.InitGlobalVariable("limit", uint64(5)); err != nil { // of .data
		t.Error(err)
	}
	if err := m.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil { // of .rodata
		t.Error(err)
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, m.InitGlobalVariable("limit", uint64(6)), syscall.EBUSY, "limit")

	numbers := getMap(t, m, "numbers")
	attach(t, m, "count")
	for range 20 {
		trigger(0)
	}
	if n := counted(t, numbers); n != 5 {
		t.Errorf("counted %d, want 5: neither more than limit nor calls of other processes", n)
	}
}

// Nothing is no value: an error, as a value of a wrong size is.
func TestInitGlobalVariableNil(t *testing.T) {
	m := openMain(t)
	for name, value := range map[string]any{"nil": nil, "nil pointer": (*uint32)(nil)} {
		t.Run(name, func(t *testing.T) {
			err := recovered(func() error { return m.InitGlobalVariable("target_pid", value) })
			wantErr(t, err, syscall.EINVAL, `"target_pid"`)
		})
	}
	if err := m.InitGlobalVariable("target_pid", uint32(1)); err != nil {
		t.Error(err)
	}
}

// counted returns how often the program count has counted.
func counted(t testing.TB, numbers *BPFMap) uint64 {
	t.Helper()
	value := make([]byte, 8)
	err := numbers.LookupElem([]byte{1, 0, 0, 0}, value, 0)
	if errors.Is(err, syscall.ENOENT) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint64(value)
}

func TestKConfigFile(t *testing.T) {
	needBPF(t)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte("CONFIG_LIBBPFGO_TEST=4712\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for want, config := range map[uint64][]byte{
		4711: []byte("# a comment\nCONFIG_LIBBPFGO_TEST=4711\n"),
		4712: zipped.Bytes(),
	} {
		m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: "testdata/kconfig.bpf.o", KConfigFilePath: writeFile(t, config)})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.BPFLoadObject(); err != nil {
			t.Fatal(err)
		}
		attach(t, m, "read_config")
		trigger(0)
		bss := make([]byte, getMap(t, m, ".bss").ValueSize())
		if err := getMap(t, m, ".bss").LookupElem(make([]byte, 4), bss, 0); err != nil {
			t.Fatal(err)
		}
		if got := binary.NativeEndian.Uint64(bss); got != want {
			t.Errorf("the program sees %d, want %d", got, want)
		}
	}
	for _, test := range []struct {
		path     string
		want     error
		mentions string
	}{
		{"nothing", fs.ErrNotExist, "nothing"},
		{writeFile(t, []byte("CONFIG_X=1\x00")), nil, "byte 10"},
		{writeFile(t, []byte{0x1f, 0x8b, 0}), nil, "kernel configuration"},
	} {
		_, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: mainObject, KConfigFilePath: test.path})
		if err == nil {
			t.Fatalf("configuration %q is taken", test.path)
		}
		if test.want != nil {
			wantErr(t, err, test.want)
		}
		wantErr(t, err, err, test.mentions)
	}
}

// What is no file of text is refused, not taken for an empty configuration or waited for.
func TestKConfigThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	// With something in it, neither opening nor reading it would wait.
	open, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.WriteString("CONFIG_X=1\n"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{dir: syscall.EISDIR, pipe: syscall.EINVAL, "/dev/null/x": syscall.ENOTDIR} {
		leaksNothing(t, func() {
			m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: mainObject, KConfigFilePath: path})
			if err == nil {
				m.Close()
			}
			wantErr(t, err, want, mainObject, "kernel configuration", path)
		})
	}
}

func TestBPFTokenPath(t *testing.T) {
	needBPF(t)
	args := NewModuleArgs{BPFObjPath: "testdata/attach.bpf.o", BPFTokenPath: "/no/token"}
	m, err := NewModuleFromFileArgs(args)
	if needLibbpf(1, 4, "") != nil {
		wantErr(t, err, errors.ErrUnsupported, "attach.bpf.o", "libbpf 1.4")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	wantErr(t, m.BPFLoadObject(), syscall.ENOENT, "/no/token")
	args.BPFTokenPath = "a\x00b"
	_, err = NewModuleFromFileArgs(args)
	wantErr(t, err, syscall.EINVAL, "zero byte")
}

func TestBTFObjPath(t *testing.T) {
	needBPF(t)
	config := writeFile(t, []byte("CONFIG_LIBBPFGO_TEST=1\n"))
	open := func(btf string) (*Module, error) {
		return NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: "testdata/kconfig.bpf.o", KConfigFilePath: config, BTFObjPath: btf})
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"nothing.btf":                         syscall.ENOENT,
		t.TempDir():                           syscall.EISDIR,
		pipe:                                  syscall.EINVAL,
		"/dev/zero":                           syscall.EINVAL,
		sparseFile(t, nil):                    syscall.EFBIG,
		sparseFile(t, []byte("\x9f\xeb\x01")): syscall.EFBIG,
	} {
		leaksNothing(t, func() {
			m, err := open(path)
			if err == nil {
				m.Close()
			}
			wantErr(t, err, want, "kconfig.bpf.o", path)
		})
	}
	leaksNothing(t, func() {
		m, err := open(writeFile(t, []byte("no BTF at all")))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.BPFLoadObject(); err == nil || !strings.Contains(err.Error(), "object.bpf.o") {
			t.Errorf("BTF that is none: %v", err)
		}
	})
	kernelBTF(t)
	leaksNothing(t, func() {
		m, err := open("/sys/kernel/btf/vmlinux")
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	})
}

// kernelBTF returns the running kernel's BTF.
func kernelBTF(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("this kernel has no BTF: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What was opened is what is loaded, whatever the path leads to by then.
func TestBTFObjPathIsExchanged(t *testing.T) {
	needBPF(t)
	vmlinux := kernelBTF(t)
	path := writeFile(t, vmlinux)
	m, err := NewModuleFromFileArgs(NewModuleArgs{
		BPFObjPath:      "testdata/kconfig.bpf.o",
		KConfigFilePath: writeFile(t, []byte("CONFIG_LIBBPFGO_TEST=1\n")),
		BTFObjPath:      path,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	loading := make(chan error, 1)
	go func() { loading <- m.BPFLoadObject() }()
	select {
	case err := <-loading:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the load waits for a pipe")
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			w.Close()
		}
		<-loading
	}
}

func TestBTFObjPathWithoutProc(t *testing.T) {
	needBPF(t)
	vmlinux := kernelBTF(t)
	object := readFile(t, "testdata/kconfig.bpf.o")
	btf, config := writeFile(t, vmlinux), writeFile(t, []byte("CONFIG_LIBBPFGO_TEST=1\n"))
	root := filepath.Dir(btf)
	if err := os.Rename(config, filepath.Join(root, "config")); err != nil {
		t.Fatal(err)
	}
	inRoot(t, root, func() {
		m, err := NewModuleFromBufferArgs(NewModuleArgs{BPFObjBuff: object, BPFObjName: "kconfig", KConfigFilePath: "/config", BTFObjPath: "/" + filepath.Base(btf)})
		if err != nil {
			t.Error(err)
			return
		}
		defer m.Close()
		if err := m.BPFLoadObject(); err != nil {
			t.Error(err)
		}
	})
}

// sparseFile makes a file of 50 GB that begins with what is given.
func sparseFile(t *testing.T, begin []byte) string {
	t.Helper()
	path := writeFile(t, begin)
	err := os.Truncate(path, 50<<30)
	if errors.Is(err, syscall.EFBIG) {
		t.Skipf("the file system has no files of that size: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLargeFiles(t *testing.T) {
	object := readFile(t, mainObject)
	for path, want := range map[string]error{
		sparseFile(t, nil):    LibbpfErrnoFormat,
		sparseFile(t, object): syscall.EFBIG,
	} {
		m, err := NewModuleFromFile(path)
		if err == nil {
			m.Close()
		}
		wantErr(t, err, want, path)
	}
	// A compressed file may be much smaller than its content.
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	line := bytes.Repeat([]byte("CONFIG_X=y\n"), 1<<16)
	for range 2*maxKConfigSize/len(line) + 1 {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	for _, path := range []string{writeFile(t, zipped.Bytes()), sparseFile(t, []byte("CONFIG_X=y\n"))} {
		m, err := NewModuleFromFileArgs(NewModuleArgs{BPFObjPath: mainObject, KConfigFilePath: path})
		if err == nil {
			m.Close()
		}
		wantErr(t, err, syscall.EFBIG, "kernel configuration", path, "more than")
	}
}

func TestObjectName(t *testing.T) {
	m, err := NewModuleFromBufferArgs(NewModuleArgs{BPFObjBuff: readFile(t, mainObject), BPFObjName: "named", BPFObjPath: "ignored"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if name := getMap(t, m, ".rodata").Name(); name != "named.rodata" {
		t.Errorf("map of read-only data is named %q", name)
	}
}
