// Package compat compares this library with the libbpfgo release that it replaces. Programs are built against both,
// with go.mod files that differ in one line, and must behave in the same way. Each known difference is listed in the
// file differences and explained in docs/libbpfgo.md.
package compat

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Exit codes of the steps program, in addition to the Go runtime's.
const (
	exitSetup = 3
	exitSkip  = 77
)

// timeLimit is the time after which a program counts as hanging.
const timeLimit = 20 * time.Second

// A library is one that the programs are built against.
type library struct {
	name  string
	flags []string
}

var (
	release = library{"release", nil}
	here    = library{"here", []string{"-modfile=go.here.mod"}}
)

// build builds a program against the library, with the cgo flags that the release needs.
func (l library) build(t *testing.T, program string, flags ...string) string {
	t.Helper()
	built, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), filepath.Base(program)+"-"+l.name)
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", binary}, l.flags, flags, []string{program})...)
	cmd.Env = append(os.Environ(), "CGO_CFLAGS='-I"+built+"/include'", "CGO_LDFLAGS='"+built+"/lib/libbpf.a' -lelf -lz")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("BPF programs can be loaded by root only: run as root")
	}
}

// An outcome is the output of a program and how it ended.
type outcome struct {
	output, errors string
	end            string // "ended", "crashes", "hangs" or "skipped"
}

// runs counts the started programs. The number is part of the prefix of a program's pinned files.
var runs atomic.Int64

// run runs a program in the root folder of the repository. When the program raises the limit of locked memory, the call
// does nothing and returns the errno memlock.
func run(t *testing.T, memlock syscall.Errno, coverage string, command ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", slices.Concat([]string{launchArg, strconv.Itoa(int(memlock))}, command)...)
	cmd.Dir = ".."
	pins := fmt.Sprintf("compat-%d-%d-", os.Getpid(), runs.Add(1))
	cmd.Env = append(os.Environ(), "COMPAT_PIN_PREFIX="+pins, "GOCOVERDIR="+coverage)
	defer func() {
		left, _ := filepath.Glob("/sys/fs/bpf/" + pins + "*")
		for _, path := range left {
			os.Remove(path)
		}
	}()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	o := outcome{stdout.String(), stderr.String(), "ended"}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		o.end = "hangs"
	case err == nil:
	case !errors.As(err, &exit):
		t.Fatal(err)
	case exit.ExitCode() == exitSkip:
		o.end = "skipped"
	case exit.ExitCode() == exitSetup:
		t.Fatalf("%s: what it needs failed\n%s%s", strings.Join(command, " "), o.output, o.errors)
	default:
		o.end = "crashes"
	}
	return o
}

// messages returns the program's standard error without libbpf's messages.
func (o outcome) messages() string {
	return regexp.MustCompile(`(?m)^libbpf: .*\n`).ReplaceAllString(o.errors, "")
}

// steps returns the steps of the outcome, with unique names, and their results. The last step is how the program ended.
func (o outcome) steps() (names []string, results map[string]string) {
	results = make(map[string]string)
	for line := range strings.Lines(o.output + "end: " + o.end) {
		step, result, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		name := step
		for n := 2; results[name] != ""; n++ {
			name = fmt.Sprintf("%s (%d)", step, n)
		}
		names = append(names, name)
		results[name] = result
	}
	return names, results
}

// difference describes the differences between two outcomes in the style of diff. It returns the empty string if there
// are none.
func difference(a, b outcome) string {
	names, left := a.steps()
	more, right := b.steps()
	for _, name := range more {
		if left[name] == "" {
			names = append(names, name)
		}
	}
	var text strings.Builder
	for _, name := range names {
		if left[name] == right[name] {
			continue
		}
		if left[name] != "" {
			fmt.Fprintf(&text, "- %s: %s\n", name, left[name])
		}
		if right[name] != "" {
			fmt.Fprintf(&text, "+ %s: %s\n", name, right[name])
		}
	}
	return text.String()
}

// differences returns the known differences by case.
func differences(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("differences")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]string)
	for section := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		name, lines, _ := strings.Cut(section, "\n")
		known[name] = strings.TrimSuffix(lines, "\n") + "\n"
	}
	return known
}

// Every step has the same result with both libraries, or the results in the file differences.
func TestSteps(t *testing.T) {
	needRoot(t)
	binaries := []string{
		release.build(t, "./steps", "-cover", "-coverpkg=./steps,github.com/aquasecurity/libbpfgo"),
		here.build(t, "./steps"),
	}
	out, err := exec.Command(binaries[0]).Output()
	if err != nil {
		t.Fatal(err)
	}
	coverage := t.TempDir()
	known := differences(t)
	t.Run("cases", func(t *testing.T) {
		for name := range strings.FieldsSeq(string(out)) {
			want := known[name]
			delete(known, name)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				compareSteps(t, binaries, name, coverage, want)
			})
		}
	})
	for name := range known {
		t.Errorf("differences names the case %s, which isn't there", name)
	}
	if !strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		everyFunctionRan(t, coverage)
	}
}

func compareSteps(t *testing.T, binaries []string, name, coverage, want string) {
	var memlock syscall.Errno
	if name == "open-refused-memlock" {
		memlock = syscall.EPERM
	}
	var outcomes []outcome
	for _, binary := range binaries {
		o := run(t, memlock, coverage, binary, name)
		if o.end == "skipped" {
			t.Skip(o.errors)
		}
		outcomes = append(outcomes, o)
	}
	if got := difference(outcomes[0], outcomes[1]); got != want {
		t.Errorf("the differences (- release, + here) are\n%s\nexpected:\n%s\nmessages of the release:\n%s\nhere:\n%s",
			got, want, outcomes[0].messages(), outcomes[1].messages())
	}
}

// everyFunctionRan checks that the cases call every exported function and method of the release.
func everyFunctionRan(t *testing.T, coverage string) {
	out, err := exec.Command("go", "tool", "covdata", "func", "-i", coverage).Output()
	if err != nil {
		t.Fatal(err)
	}
	exported := regexp.MustCompile(`^github.com/aquasecurity/\S+\s+(?:\*?[A-Z]\w*\.)?[A-Z]\w*\s`)
	count := 0
	for line := range strings.Lines(string(out)) {
		if !exported.MatchString(line) {
			continue
		}
		count++
		if strings.HasSuffix(strings.TrimSpace(line), "\t0.0%") {
			t.Errorf("no case calls %s", line)
		}
	}
	if count < 190 {
		t.Errorf("found %d exported functions of the release", count)
	}
}

// The page for users explains every difference.
func TestDifferencesAreExplained(t *testing.T) {
	page, err := os.ReadFile("../docs/libbpfgo.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Differences\n")
	section, _, _ = strings.Cut(section, "\n## ")
	explained := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`[a-z0-9_-]+`(?:, )?)+) \\|").FindAllStringSubmatch(section, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			explained[strings.Trim(name, "`")] = true
		}
	}
	known := differences(t)
	for name := range known {
		if !explained[name] {
			t.Errorf("docs/libbpfgo.md doesn't explain %s", name)
		}
	}
	for name := range explained {
		if known[name] == "" {
			t.Errorf("docs/libbpfgo.md explains %s, which makes no difference", name)
		}
	}
}

// Programs in the style of the release's users have the same output with both libraries.
func TestPrograms(t *testing.T) {
	needRoot(t)
	for _, program := range []string{"exporter", "tracer"} {
		t.Run(program, func(t *testing.T) {
			var outputs []string
			for _, l := range []library{release, here} {
				o := run(t, 0, "", l.build(t, "./"+program))
				if o.end != "ended" {
					t.Fatalf("built against %s, it %s\n%s%s", l.name, o.end, o.output, o.messages())
				}
				outputs = append(outputs, o.output)
			}
			if outputs[0] != outputs[1] {
				t.Errorf("with the release:\n%s\nhere:\n%s", outputs[0], outputs[1])
			}
			if !strings.Contains(outputs[0], "worker") {
				t.Errorf("it saw nothing of its own work:\n%s", outputs[0])
			}
		})
	}
}
