package libbpfgo

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mainObject     = "testdata/main.bpf.o"
	rejectedObject = "testdata/rejected.bpf.o"
)

// droppedObjects counts the objects that the garbage collector had to close.
var droppedObjects atomic.Int32

// TestMain fails the whole run if the tests leave a descriptor, a goroutine or an open object. Where needBPF skips
// tests it skips the examples, which can't do so themselves.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		skipExamples()
	}
	onDropped = func(string) { droppedObjects.Add(1) }
	// The first timer and the first wait open descriptors of the runtime's own.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	before := openFiles()
	code := m.Run()
	if code == 0 {
		if err := leftovers(before); err != nil {
			fmt.Fprintln(os.Stderr, "left behind by the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// skipExamples does what internal/examples does for the other packages. What replaces libbpfgo finds nothing of this
// module under its own name: the root package's tests can't import it.
func skipExamples() {
	fmt.Fprintln(os.Stderr, "skipping the examples: BPF programs can be loaded by root only")
	flag.Parse()
	skip := flag.Lookup("test.skip").Value
	_ = skip.Set(strings.TrimPrefix(skip.String()+"|^Example", "|"))
}

func leftovers(before map[string]int) error {
	var err error
	for range 100 {
		runtime.GC()
		if err = leftoversNow(before); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func leftoversNow(before map[string]int) error {
	for name, n := range openFiles() {
		if n > before[name] {
			return fmt.Errorf("%d open descriptors of %s, %d at the start", n, name, before[name])
		}
	}
	if n := droppedObjects.Load(); n > 0 {
		return fmt.Errorf("%d modules that were never closed", n)
	}
	if frame := runningFrame(); frame != "" {
		return fmt.Errorf("a goroutine in %s", frame)
	}
	return nil
}

// runningFrame returns a function of the package, other than those of tests, that a goroutine is in; the
// empty string if there is none.
func runningFrame() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	function := ""
	for line := range strings.Lines(string(stacks)) {
		// Each is followed by the file that it is in.
		if strings.HasPrefix(function, reflect.TypeFor[Module]().PkgPath()+".") && !strings.Contains(line, "_test.go:") {
			return function
		}
		function = line
	}
	return ""
}

// openFiles counts the process's open descriptors by what they refer to.
func openFiles() map[string]int {
	files := make(map[string]int)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && !strings.Contains(name, "/proc/") {
			files[name]++
		}
	}
	return files
}

func countOpenFiles() int {
	n := 0
	for _, c := range openFiles() {
		n += c
	}
	return n
}

// needBPF skips the test where the process may not load BPF programs. A kernel that has no BPF
// and a process that has the rights fail.
func needBPF(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	t.Skip("BPF programs can be loaded by root only: run as root")
}

// needTracefs skips the test where tracefs isn't mounted, which only root can do.
func needTracefs(t testing.TB) {
	t.Helper()
	needBPF(t)
	if _, err := os.Stat("/sys/kernel/tracing/events/syscalls/sys_enter_getpgid"); err != nil {
		if _, err := os.Stat("/sys/kernel/debug/tracing/events/syscalls/sys_enter_getpgid"); err != nil {
			t.Skipf("tracefs with system call tracepoints is needed (make mounts): %v", err)
		}
	}
}

// openMain opens the main object, to be closed by the test's end, for this process.
func openMain(t testing.TB, globals ...any) *Module {
	t.Helper()
	needBPF(t)
	m, err := NewModuleFromFile(mainObject)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	globals = append(globals, "target_pid", uint32(os.Getpid()))
	for i := 0; i < len(globals); i += 2 {
		if err := m.InitGlobalVariable(globals[i].(string), globals[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// loadMain opens and loads the main object. Globals are names and values of global variables.
func loadMain(t testing.TB, globals ...any) *Module {
	t.Helper()
	m := openMain(t, globals...)
	if err := m.BPFLoadObject(); err != nil {
		t.Fatal(err)
	}
	return m
}

// attach attaches a program of the main object by its section.
func attach(t testing.TB, m *Module, program string) *BPFLink {
	t.Helper()
	needTracefs(t)
	prog, err := m.GetProgram(program)
	if err != nil {
		t.Fatal(err)
	}
	link, err := prog.AttachGeneric()
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// trigger runs the attached programs, with n as their argument.
func trigger(n int) {
	_, _, _ = syscall.RawSyscall(unix.SYS_GETPGID, uintptr(n), 0, 0)
}

func getMap(t testing.TB, m *Module, name string) *BPFMap {
	t.Helper()
	bpfMap, err := m.GetMap(name)
	if err != nil {
		t.Fatal(err)
	}
	return bpfMap
}

func wantErr(t testing.TB, err, want error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want one that is %v", err, want)
		return
	}
	for _, s := range mentions {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q doesn't mention %q", err, s)
		}
	}
}

// receive returns the next record, or nil if the channel is closed.
func receive(t testing.TB, events <-chan []byte) []byte {
	t.Helper()
	select {
	case record := <-events:
		return record
	case <-time.After(20 * time.Second):
		t.Fatal("no record came")
		return nil
	}
}

// inChild runs the test of that name in a process of its own and returns what it wrote to stderr.
func inChild(t *testing.T, name string, env ...string) string {
	t.Helper()
	out, stderr, err := runChild(name, env...)
	if err != nil {
		t.Fatalf("child %s: %v\n%s\n%s", name, err, out, stderr)
	}
	return stderr
}

// runChild is inChild for a child that may fail, or die.
func runChild(name string, env ...string) (stdout, stderr string, err error) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.count=1", "-test.timeout=5m", "-test.v",
		fmt.Sprintf("-test.short=%t", testing.Short()))
	cmd.Env = append(os.Environ(), append(env, "LIBBPFGO_TEST_CHILD="+name)...)
	var out, message strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &message
	err = cmd.Run()
	return out.String(), message.String(), err
}

func isChild(name string) bool { return os.Getenv("LIBBPFGO_TEST_CHILD") == name }

// needKernel skips where a kernel before the one that brought a feature to all has refused it by EINVAL.
func needKernel(t *testing.T, err error, major, minor int) {
	t.Helper()
	if err == nil {
		return
	}
	if olderKernel(t, major, minor) && errors.Is(err, syscall.EINVAL) {
		t.Skip(err)
	}
	t.Fatal(err)
}

func olderKernel(t testing.TB, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &haveMajor, &haveMinor); err != nil {
		t.Fatal(err)
	}
	return haveMajor < major || haveMajor == major && haveMinor < minor
}
