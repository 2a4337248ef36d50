// Vm runs the selftests in virtual machines on several kernels and prints a table. Each kernel is a folder with vmlinuz
// and modules, made by scripts/vm-kernels. A machine has no disk, only an initramfs with the selftest, the Go test
// programs, and this program as /init. To run machines of another architecture, pass -init: the path of this program
// built for that architecture.
//
//	vm -kernels build/kernels -selftest build/selftest -go-tests build/gotest -expected selftest/expected 6.1 6.12
//
// The exit code is 0 if all machines ran all their tests, no test failed, each test has the outcome that the file of
// expectations has for the kernel, and none was skipped on every kernel.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A result is the result of one test on one kernel.
type result struct {
	Test    string
	Code    int // the exit code; -1 if there is none
	Seconds float64
	Output  string // the end of the test's output
}

// The outcomes of a test.
const (
	passed  = "passed"
	skipped = "skipped"
	failed  = "FAILED"
	notRun  = "not run" // there is no result
)

// codeSkipped is the exit code of a skipped test. skipMark precedes the reason in its output.
const (
	codeSkipped  = 77
	skipMark     = "skipped: "
	reasonLength = 400 // bytes of the reason that are shown
)

func (r result) outcome() string {
	switch {
	case r.Test == "":
		return notRun
	case r.Code == 0:
		return passed
	case r.Code == codeSkipped:
		return skipped
	}
	return failed
}

// reason returns why a test was skipped, as one line.
func (r result) reason() string {
	parts := strings.Split("\n"+r.Output, "\n"+skipMark)
	text := strings.Join(strings.Fields(parts[len(parts)-1]), " ")
	text = strings.TrimSuffix(text, ":") // nothing follows the last colon
	if len(text) > reasonLength {
		text = strings.ToValidUTF8(text[:reasonLength], "") + "…"
	}
	return cmp.Or(text, "it doesn't say why")
}

// The guest marks the lines that it prints for the host: mark precedes a result, versionMark the kernel's version, and
// testsMark the names of the tests that will run.
const (
	mark        = "@result "
	versionMark = "@version "
	testsMark   = "@tests "
)

var (
	arch       = flag.String("arch", runtime.GOARCH, "the machines' architecture, amd64 or arm64")
	initFile   = flag.String("init", "/proc/self/exe", "path of this program, built for that architecture")
	kernelsDir = flag.String("kernels", "", "folder that contains the kernels' folders")
	selftest   = flag.String("selftest", "", "path of the selftest program")
	goTests    = flag.String("go-tests", "", "folder of the Go test programs, each at its package's path, and of testdata")
	expected   = flag.String("expected", "", "file of the expected outcomes")
	update     = flag.Bool("update", false, "write the outcomes to the file of expected outcomes")
	only       = flag.String("test", "", "run only these tests, separated by spaces or commas")
	short      = flag.Bool("short", false, "run the Go tests with -short")
	document   = flag.String("document", "", "write the table to this file, in Markdown")
	libbpf     = flag.String("libbpf", "", "libbpf's version, for the document")
	timeLimit  = flag.Duration("timeout", 30*time.Minute, "how long a machine may run")
)

func main() {
	flag.Parse()
	if os.Getpid() == 1 {
		guest()
	}
	ok, err := run(os.Stdout, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(w io.Writer, kernels []string) (bool, error) {
	if len(kernels) == 0 {
		return false, errors.New("name the kernels")
	}
	if _, ok := machines[*arch]; !ok {
		return false, fmt.Errorf("there are no machines of the architecture %q", *arch)
	}
	text, err := os.ReadFile(*expected)
	if err != nil && !(*update && errors.Is(err, os.ErrNotExist)) {
		return false, err
	}
	want := parseExpectations(string(text))
	if *document != "" {
		if err := want.documents(kernels); err != nil {
			return false, err
		}
	}
	programs, err := goPrograms(*goTests)
	if err != nil {
		return false, err
	}
	table := newTable(kernels)
	// An emulated machine keeps one processor busy, so run one machine per processor.
	free := make(chan struct{}, runtime.NumCPU())
	var booted sync.WaitGroup
	for _, kernel := range kernels {
		booted.Add(1)
		go func() {
			defer booted.Done()
			free <- struct{}{}
			ran, err := boot(kernel, programs)
			<-free
			table.add(kernel, ran, err)
		}()
	}
	booted.Wait()
	sound := table.ok()
	if *update && sound {
		want.update(table)
	}
	table.compare(want)
	fmt.Fprint(w, table)
	if (*update || *document != "") && !sound {
		return false, errors.New("a machine or a test failed: nothing was written")
	}
	if *update {
		if err := os.WriteFile(*expected, []byte(want.String()), 0o644); err != nil {
			return false, err
		}
	}
	if *document != "" {
		if err := os.WriteFile(*document, []byte(table.markdown(time.Now())), 0o644); err != nil {
			return false, err
		}
	}
	return table.ok(), nil
}

// named returns the names in -test.
func named() []string {
	return strings.FieldsFunc(*only, func(c rune) bool { return c == ' ' || c == ',' })
}

// chosen reports whether a test, or the program that contains it, is selected by -test. Without -test, all are.
func chosen(test string) bool {
	return *only == "" || slices.Contains(named(), programOf(test))
}

// goPrograms returns the paths of the selected Go test programs in a folder.
func goPrograms(dir string) (paths []string, err error) {
	for _, pattern := range []string{dir + "/*.test", dir + "/*/*.test"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	return slices.DeleteFunc(paths, func(path string) bool { return !chosen(filepath.Base(path)) }), nil
}

// A machine has the settings of QEMU that depend on the architecture.
type machine struct {
	qemu, board, console string
	processor            string // without KVM
}

var machines = map[string]machine{
	"amd64": {qemu: "qemu-system-x86_64", board: "pc", console: "ttyS0", processor: "max"},
	// QEMU emulates the architecture's own algorithm of pointer authentication so slowly that it takes most of the time;
	// pauth-impdef selects a fast one.
	"arm64": {qemu: "qemu-system-aarch64", board: "virt,gic-version=max", console: "ttyAMA0", processor: "max,pauth-impdef=on"},
}

// kvm is true while the host appears to have KVM.
var kvm atomic.Bool

func init() {
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		file.Close()
		kvm.Store(true)
	}
}

// startLimit limits how long a machine with KVM may take until its kernel runs this program, which usually takes a
// second. On some hosts KVM exists but a machine hangs.
var startLimit = 20 * time.Second

// A session is what a machine reported on its console.
type session struct {
	version string
	tests   []string // names of the tests that it started to run
	results map[string]result
	ended   bool // it has run all tests
}

// boot runs the tests on a kernel, with KVM if possible.
func boot(kernel string, programs []string) (session, error) {
	image, err := os.CreateTemp("", "initramfs")
	if err != nil {
		return session{}, err
	}
	defer os.Remove(image.Name())
	defer image.Close()
	dir := filepath.Join(*kernelsDir, kernel)
	if err := pack(image, dir, programs); err != nil {
		return session{}, err
	}
	if kvm.Load() && *arch == runtime.GOARCH {
		ran, err := emulate("kvm", "host", dir, image.Name(), startLimit, *timeLimit/3)
		if err == nil || ran.version != "" {
			return ran, err
		}
		kvm.Store(false)
		fmt.Fprintln(os.Stderr, "vm: emulating, instead of KVM:", err)
	}
	// Emulate all processors in one thread: with several, QEMU races with kernels that modify their own code.
	return emulate("tcg,thread=single", machines[*arch].processor, dir, image.Name(), *timeLimit, *timeLimit)
}

// emulate runs a machine to its end. toStart limits the time until this program runs in it, toEnd the whole time.
func emulate(accelerator, processor, dir, image string, toStart, toEnd time.Duration) (session, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	limit := func(d time.Duration, what string) *time.Timer {
		return time.AfterFunc(d, func() { cancel(fmt.Errorf("the machine has %s for more than %v", what, d)) })
	}
	defer limit(toEnd, "run").Stop()
	console := &console{started: limit(toStart, "not started")}
	defer console.started.Stop()
	machine := machines[*arch]
	command := exec.CommandContext(ctx, machine.qemu, "-machine", machine.board, "-accel", accelerator, "-cpu", processor,
		"-m", "3072", "-smp", "2", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", filepath.Join(dir, "vmlinuz"), "-initrd", image,
		"-append", "console="+machine.console+" quiet loglevel=3 panic=-1 lsm=landlock,lockdown,yama,integrity,bpf"+
			guestArguments())
	var errs bytes.Buffer
	command.Stdout, command.Stderr = console, &errs
	err := command.Run()
	ran := parse(console.text)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("%s: %w: %s", machine.qemu, err, errs.String())
	case !ran.ended:
		err = errors.New("the machine ended before all tests had run")
	default:
		return ran, nil
	}
	return ran, fmt.Errorf("%w\n%s", err, tail(noise(console.text), 3000))
}

// A console keeps the output of a machine and stops a timer once this program runs in the machine.
type console struct {
	text    []byte
	started *time.Timer
}

func (c *console) Write(text []byte) (int, error) {
	// The mark may be split between two writes.
	from := max(0, len(c.text)-len(versionMark))
	c.text = append(c.text, text...)
	if bytes.Contains(c.text[from:], []byte(versionMark)) {
		c.started.Stop()
	}
	return len(text), nil
}

// noise returns the lines of a machine's console that aren't results.
func noise(output []byte) string {
	lines := slices.Collect(strings.Lines(string(output)))
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, mark) }), "")
}

// The paths of the tests in the machine.
const (
	guestSelftest = "/selftest"
	guestGoTests  = "/gotests"
)

// guestArguments returns this program's arguments in the machine, as the end of the kernel's command line. Such an
// argument can't contain a space.
func guestArguments() string {
	return fmt.Sprintf(" -- -short=%t -test=%s", *short, strings.Join(named(), ","))
}

// pack writes the initramfs.
func pack(image *os.File, dir string, programs []string) error {
	buffered := bufio.NewWriter(image)
	archive := &cpio{w: buffered}
	for _, folder := range []string{"dev", "proc", "sys", "tmp", "modules", guestGoTests} {
		archive.folder(folder)
	}
	archive.file("init", *initFile)
	archive.file(guestSelftest, *selftest)
	modules, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, module := range modules {
		archive.file("modules/"+filepath.Base(module), module)
	}
	objects, err := filepath.Glob(filepath.Join(*goTests, "testdata", "*.bpf.o"))
	if err != nil {
		return err
	}
	for _, path := range slices.Concat(programs, objects) {
		from, err := filepath.Rel(*goTests, path)
		if err != nil {
			return err
		}
		name := filepath.Join(guestGoTests, from)
		archive.folder(filepath.Dir(name))
		archive.file(name, path)
	}
	archive.end()
	return errors.Join(archive.err, buffered.Flush())
}

// parse reads a session from the output of a machine's console.
func parse(output []byte) session {
	ran := session{results: make(map[string]result)}
	for line := range strings.Lines(string(output)) {
		line = strings.TrimSpace(line)
		if _, text, ok := strings.Cut(line, versionMark); ok {
			ran.version = text
		} else if _, text, ok := strings.Cut(line, testsMark); ok {
			ran.tests = strings.Fields(text)
		} else if _, text, ok := strings.Cut(line, mark); ok {
			var r result
			if json.Unmarshal([]byte(text), &r) == nil {
				ran.ended = ran.ended || r.Test == ""
				ran.results[r.Test] = r
			}
		}
	}
	delete(ran.results, "")
	return ran
}

// tail returns the end of a text.
func tail(text string, size int) string {
	return text[max(0, len(text)-size):]
}

// A table has the results of all kernels.
type table struct {
	kernels []string

	mutex    sync.Mutex // protects the fields below while machines run
	versions map[string]string
	results  map[string]map[string]result // by test and kernel
	wrong    []string                     // what differs from the expectations, and other failures
}

func newTable(kernels []string) *table {
	return &table{kernels: kernels, versions: make(map[string]string), results: make(map[string]map[string]result)}
}

// add adds the session of a kernel's machine, and the error with which the machine ended.
func (t *table) add(kernel string, ran session, err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if err != nil {
		t.wrong = append(t.wrong, fmt.Sprintf("kernel %s has failed: %v", kernel, err))
	}
	for _, test := range named() {
		if err == nil && !slices.Contains(ran.tests, test) {
			t.wrong = append(t.wrong, fmt.Sprintf("there is no test %q", test))
		}
	}
	t.versions[kernel] = cmp.Or(ran.version, kernel)
	for _, test := range slices.AppendSeq(slices.Clone(ran.tests), maps.Keys(ran.results)) {
		if t.results[test] == nil {
			t.results[test] = make(map[string]result)
		}
		t.results[test][kernel] = ran.results[test]
	}
}

// release returns a kernel's release, without the package's version.
func (t *table) release(kernel string) string {
	release, _, _ := strings.Cut(t.versions[kernel], " ")
	return release
}

func (t *table) tests() []string {
	return slices.Sorted(maps.Keys(t.results))
}

// programs returns the names of all tests except those within Go test programs.
func (t *table) programs() []string {
	return slices.DeleteFunc(t.tests(), func(test string) bool { return test != programOf(test) })
}

// outcome returns the outcome of a test on a kernel. A test within a Go test program that has no result wasn't skipped:
// it has the outcome of its program.
func (t *table) outcome(test, kernel string) string {
	r, ok := t.results[test][kernel]
	if !ok {
		r = t.results[programOf(test)][kernel]
	}
	return r.outcome()
}

// compare adds the differences from the expectations to wrong. A test that exists only in the expectations counts as
// not run. A test that is skipped on every kernel is wrong too, because it tests nothing; this is checked only if all
// tests ran on all kernels of the expectations.
func (t *table) compare(want expectations) {
	tests := t.tests()
	for key := range want {
		if chosen(key[0]) {
			tests = append(tests, key[0])
		}
	}
	slices.Sort(tests)
	tests = slices.Compact(tests)
	for _, kernel := range t.kernels {
		var missing []string
		for _, test := range tests {
			got, expected := t.outcome(test, kernel), cmp.Or(want[[2]string{test, kernel}], passed)
			switch got {
			case expected, failed:
			case notRun:
				missing = append(missing, test)
			default:
				t.wrong = append(t.wrong, fmt.Sprintf("%s on %s: %s, expected: %s", test, kernel, got, expected))
			}
		}
		if len(missing) > 0 {
			t.wrong = append(t.wrong, fmt.Sprintf("not run on %s: %s", kernel, strings.Join(missing, " ")))
		}
	}
	if *only != "" || len(want) == 0 || want.missing(t.kernels) != "" {
		return
	}
	for _, test := range t.programs() {
		if !slices.ContainsFunc(t.kernels, func(kernel string) bool { return t.outcome(test, kernel) != skipped }) {
			t.wrong = append(t.wrong, test+" is skipped on every kernel")
		}
	}
}

func (t *table) ok() bool {
	return len(t.wrong) == 0 && t.count(failed) == 0 && t.count(notRun) == 0
}

func (t *table) count(outcome string) int {
	n := 0
	for _, results := range t.results {
		for _, r := range results {
			if r.outcome() == outcome {
				n++
			}
		}
	}
	return n
}

// String returns the table, the reasons of skips, the output of failed tests, and the totals.
func (t *table) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-18s", "")
	for _, kernel := range t.kernels {
		fmt.Fprintf(&text, " %-22s", t.release(kernel))
	}
	fmt.Fprintln(&text)
	for _, test := range t.programs() {
		fmt.Fprintf(&text, "%-18s", test)
		for _, kernel := range t.kernels {
			r := t.results[test][kernel]
			cell := r.outcome()
			if cell != notRun {
				cell += fmt.Sprintf(" %.1f s", r.Seconds)
			}
			fmt.Fprintf(&text, " %-22s", cell)
		}
		fmt.Fprintln(&text)
	}
	t.each(skipped, func(r result, kernel string) {
		fmt.Fprintf(&text, "\n%s was skipped on %s: %s\n", r.Test, kernel, r.reason())
	})
	t.each(failed, func(r result, kernel string) {
		fmt.Fprintf(&text, "\n%s failed on %s with exit code %d:\n%s\n", r.Test, kernel, r.Code, r.Output)
	})
	for _, wrong := range t.wrong {
		fmt.Fprintf(&text, "\n%s\n", wrong)
	}
	fmt.Fprintf(&text, "\nselftests in virtual machines: %d passed, %d skipped, %d failed, %d not run, %d not as expected\n",
		t.count(passed), t.count(skipped), t.count(failed), t.count(notRun), len(t.wrong))
	return text.String()
}

// each calls f for each result with the outcome, kernel by kernel.
func (t *table) each(outcome string, f func(r result, kernel string)) {
	for _, kernel := range t.kernels {
		for _, test := range t.tests() {
			if r := t.results[test][kernel]; r.outcome() == outcome {
				f(r, kernel)
			}
		}
	}
}

// markdown returns the table for the documentation.
func (t *table) markdown(now time.Time) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# What works on which kernel\n\nMeasured by `make vmtest-all ARCH=%s DOC=1` on %s with libbpf %s."+
		" Each selftest (`selftest/`) and\n"+
		"the Go tests of each package (`*.test`) ran in a virtual machine of each kernel. The version of the kernel's\n"+
		"Debian package is in parentheses. A dash means that the test was skipped. Go tests whose names match\n`%s`\n"+
		"were left out.\n\n| |",
		*arch, now.Format(time.DateOnly), *libbpf, leftOut)
	for _, kernel := range t.kernels {
		fmt.Fprintf(&text, " %s |", t.versions[kernel])
	}
	fmt.Fprint(&text, "\n|---|"+strings.Repeat("---|", len(t.kernels))+"\n")
	for _, test := range t.programs() {
		fmt.Fprintf(&text, "| %s |", test)
		for _, kernel := range t.kernels {
			fmt.Fprintf(&text, " %s |", map[string]string{passed: "works", skipped: "–"}[t.results[test][kernel].outcome()])
		}
		fmt.Fprintln(&text)
	}
	fmt.Fprintln(&text, "\nWhy tests were skipped:")
	fmt.Fprintln(&text)
	t.each(skipped, func(r result, kernel string) {
		fmt.Fprintf(&text, "- %s on %s: %s\n", r.Test, t.release(kernel), r.reason())
	})
	return text.String()
}
