package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	console := "[    1.2] noise\r\n@version 6.1.0\r\n\r\n@tests tc xdp\r\n\r\n@result {\"Test\":\"xdp\",\"Code\":77,\"Output\":\"one\\nskipped: no\\n\"}\r\n" +
		"@result {broken\r\n[ 2.0] x @result {\"Test\":\"tc\",\"Code\":0}\r\n"
	ran := parse([]byte(console))
	if ran.version != "6.1.0" || !slices.Equal(ran.tests, []string{"tc", "xdp"}) || len(ran.results) != 2 || ran.ended {
		t.Fatalf("%+v", ran)
	}
	if r := ran.results["xdp"]; r.outcome() != skipped || r.reason() != "no" {
		t.Errorf("%+v: %s, %s", r, r.outcome(), r.reason())
	}
	if !parse([]byte(console + "@result {\"Test\":\"\"}\n")).ended {
		t.Error("the end isn't seen")
	}
}

func TestVersionOf(t *testing.T) {
	for version, want := range map[string]string{
		"#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)": "6.1.0-56 (6.1.192-2)",
		"#1 SMP": "6.1.0-56",
	} {
		if got := versionOf("6.1.0-56", version); got != want {
			t.Errorf("%q: %q", version, got)
		}
	}
}

func TestTable(t *testing.T) {
	tests := []string{"a", "b", "c"}
	fill := func(codes ...int) *table {
		table := newTable([]string{"old", "new"})
		old, passes := make(map[string]result), make(map[string]result)
		for i, test := range tests {
			if i < len(codes) {
				old[test] = result{Test: test, Code: codes[i], Output: "because"}
			}
			passes[test] = result{Test: test}
		}
		table.add("old", session{version: "1.0 (1.0-2)", tests: tests, results: old}, nil)
		table.add("new", session{version: "2.0", tests: tests, results: passes}, nil)
		return table
	}
	good := fill(0, 77, 0)
	want := make(expectations)
	want.update(good)
	good.compare(want)
	if !good.ok() {
		t.Errorf("%v", good.wrong)
	}
	for name, table := range map[string]*table{
		"silently skipped": fill(77, 77, 0),
		"failed":           fill(0, 77, 1),
		"not run":          fill(0, 77),
		"passes now":       fill(0, 0, 0),
	} {
		table.compare(want)
		if table.ok() {
			t.Errorf("%s: it is as expected", name)
		}
	}
	vanished := fill(0, 77, 0)
	delete(vanished.results, "c")
	vanished.compare(want)
	if text := vanished.String(); vanished.ok() || !strings.Contains(text, "\nnot run on old: c\n") {
		t.Errorf("vanished: %s", text)
	}
	unknown := fill(0, 0, 77)
	unknown.compare(nil)
	if unknown.ok() || len(unknown.wrong) != 1 {
		t.Errorf("without expectations: %v", unknown.wrong)
	}
	everywhere := func(kernels ...string) *table {
		table := newTable(kernels)
		for _, kernel := range kernels {
			table.add(kernel, session{version: "1.0", tests: []string{"a", "b"}, results: map[string]result{
				"a": {Test: "a"}, "b": {Test: "b", Code: codeSkipped}, "a/Sub": {Test: "a/Sub", Code: codeSkipped},
			}}, nil)
		}
		return table
	}
	want = make(expectations)
	want.update(everywhere("old", "new"))
	for _, test := range []struct {
		only    string
		kernels []string
		wrong   []string
	}{
		{"", []string{"old", "new"}, []string{"b is skipped on every kernel"}},
		{"", []string{"old"}, nil},
		{"b", []string{"old", "new"}, nil},
	} {
		set(t, only, test.only)
		table := everywhere(test.kernels...)
		table.compare(want)
		if !slices.Equal(table.wrong, test.wrong) {
			t.Errorf("%q alone on %v: %q", test.only, test.kernels, table.wrong)
		}
	}
	*only = ""
	set(t, libbpf, "1.7")
	if text := good.markdown(time.Unix(0, 0)); !strings.Contains(text, "| b | – |") || !strings.Contains(text, "b on 1.0: because") ||
		!strings.Contains(text, " 1.0 (1.0-2) |") || !strings.Contains(text, "with libbpf 1.7") || !strings.Contains(text, leftOut) {
		t.Error(text)
	}
}

// set changes a variable until the end of the test.
func set[T any](t *testing.T, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

func TestArguments(t *testing.T) {
	for tests, want := range map[string]string{"": "", "a": "a", "a b": "a,b"} {
		set(t, only, tests)
		if got := guestArguments(); got != " -- -short=false -test="+want {
			t.Errorf("%q: %q", tests, got)
		}
		*only = want
		for _, test := range []string{"a", "b", "b/Sub", "c"} {
			program := programOf(test)
			if is := chosen(test); is != (tests == "" || strings.Contains(tests, program)) {
				t.Errorf("%q: that %s is to run is %v", tests, test, is)
			}
		}
	}
}

func TestShort(t *testing.T) {
	set(t, short, true)
	if got := guestArguments(); !strings.Contains(got, " -short=true ") || strings.Count(got, " -- ") != 1 {
		t.Errorf("the machine's arguments are %q", got)
	}
	if flags := goTestFlags(); !slices.Contains(flags, "-test.short=true") {
		t.Errorf("Go tests have the flags %q", flags)
	}
	if err := make(expectations).documents(nil); err == nil {
		t.Error("a document can be written")
	}
}

// The machine "test" is a script that prints the console output stored as the kernel's vmlinuz.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("qemu", "#!/bin/sh\nwhile [ \"$1\" != -kernel ]; do shift; done; . \"$2\"\n")
	write("selftest", "")
	machines["test"] = machine{qemu: path("qemu")}
	t.Cleanup(func() { delete(machines, "test") })
	for variable, value := range map[*string]string{
		arch: "test", kernelsDir: path("kernels"), selftest: path("selftest"), goTests: path("gotests"),
		expected: path("expected"), document: "", only: "",
	} {
		set(t, variable, value)
	}
	prints := func(kernel, console string) {
		t.Helper()
		write("kernels/"+kernel+"/vmlinuz", "cat <<'END'\n"+console+"\nEND\n")
	}
	const a, bPasses, bSkips, end = "@version 1.0\n@tests a b\n@result {\"Test\":\"a\"}\n", "@result {\"Test\":\"b\"}\n",
		"@result {\"Test\":\"b\",\"Code\":77}\n", "@result {}\n"
	check := func(wantOK bool, kernels []string, mentions ...string) {
		t.Helper()
		var out strings.Builder
		ok, err := run(&out, kernels)
		text := fmt.Sprint(out.String(), err)
		if ok != wantOK {
			t.Errorf("%v: %v\n%s", kernels, ok, text)
		}
		for _, s := range mentions {
			if !strings.Contains(text, s) {
				t.Errorf("%v: %q isn't mentioned:\n%s", kernels, s, text)
			}
		}
	}
	wantExpected := func(rows ...string) {
		t.Helper()
		text, err := os.ReadFile(*expected)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") && !slices.Contains(rows, strings.Join(strings.Fields(line), " ")) {
				t.Errorf("there is %q", line)
			}
		}
		if n := strings.Count(string(text), "\n"); n != len(rows)+1 {
			t.Errorf("%d lines, want %d rows", n, len(rows))
		}
	}
	prints("old", a+bSkips+end)
	prints("new", a+bPasses+end)
	set(t, update, true)
	check(true, []string{"old", "new"})
	wantExpected("a old passed", "a new passed", "b old skipped", "b new passed")

	// An update keeps the expectations for kernels and tests that didn't run.
	prints("new", a+bSkips+end)
	check(true, []string{"new"})
	wantExpected("a old passed", "a new passed", "b old skipped", "b new skipped")
	*only = "b"
	prints("new", "@tests b\n"+bPasses+end)
	check(true, []string{"new"})
	wantExpected("a old passed", "a new passed", "b old skipped", "b new passed")
	*only = "b nothing"
	check(false, []string{"new"}, "there is no test \"nothing\"")
	*only = "b"

	*update, *document = false, path("document")
	check(false, []string{"old", "new"}, "with b alone")
	*only = ""
	check(false, []string{"new"}, "without old")
	if _, err := os.Stat(*document); err == nil {
		t.Error("a document was written")
	}

	// The second machine's results are shown although the first one ends during its second test.
	prints("old", a+"Kernel panic - not syncing")
	prints("new", a+bPasses+end)
	*document = ""
	check(false, []string{"old", "new"}, "kernel old has failed", "Kernel panic - not syncing", "not run on old: b\n",
		"3 passed, 0 skipped, 0 failed, 1 not run")
	*update = true
	check(false, []string{"old", "new"}, "nothing was written")
	wantExpected("a old passed", "a new passed", "b old skipped", "b new passed")
}

func TestCpio(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	archive := &cpio{w: &out}
	archive.folder("dir")
	archive.file("dir/f", path)
	archive.end()
	if archive.err != nil {
		t.Fatal(archive.err)
	}
	data := out.Bytes()
	const header = 110
	if string(data[:6]) != "070701" || string(data[header:header+4]) != "dir\x00" {
		t.Errorf("%q", data)
	}
	second := header + 4 + 2 // padded to 116
	if string(data[second:second+6]) != "070701" || string(data[second+54:second+62]) != "00000005" {
		t.Errorf("%q", data[second:])
	}
	if at := bytes.Index(data, []byte("12345\x00\x00\x00070701")); at%4 != 0 || len(data)%4 != 0 {
		t.Errorf("the data stands at %d of %d", at, len(data))
	}
	archive.file("nothing", "/nothing")
	if archive.err == nil {
		t.Error("a file that isn't there is no error")
	}
}

// A machine that doesn't start with KVM is emulated instead. One that breaks later isn't.
func TestEmulatesWithoutKVM(t *testing.T) {
	for name, test := range map[string]struct {
		script, version, err string
		emulated             bool
	}{
		"hangs":  {"exec sleep 60", "2.0", "", true},
		"fails":  {"exit 1", "2.0", "", true},
		"breaks": {"echo @version 1.0; echo Kernel panic; exit 1", "1.0", "Kernel panic", false},
	} {
		t.Run(name, func(t *testing.T) {
			qemu := filepath.Join(t.TempDir(), "qemu")
			script := "#!/bin/sh\ncase \"$*\" in *'-accel kvm'*) " + test.script + ";; esac\n" +
				"printf '@ver'; sleep 0.1; printf 'sion 2.0\\n@result {}\\n'\n"
			if err := os.WriteFile(qemu, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			set(t, &machines, map[string]machine{*arch: {qemu: qemu}})
			set(t, kernelsDir, t.TempDir())
			set(t, selftest, qemu)
			kvm.Store(true)
			t.Cleanup(func() { kvm.Store(false) })
			set(t, &startLimit, 200*time.Millisecond)
			begin := time.Now()
			ran, err := boot(".", nil)
			if ran.version != test.version || (err == nil) != (test.err == "") || !strings.Contains(fmt.Sprint(err), test.err) {
				t.Errorf("%q, %v", ran.version, err)
			}
			if kvm.Load() == test.emulated || time.Since(begin) > 30*time.Second {
				t.Errorf("KVM would be tried again: %v; it has taken %v", kvm.Load(), time.Since(begin))
			}
		})
	}
}
