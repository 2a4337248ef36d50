package main

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// asSelftest is an environment variable. If it is set, the test binary runs as the selftest, with testSubjects.
const asSelftest = "SELFTEST_CASES_OF_THE_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asSelftest) != "" {
		subjects = testSubjects
		main()
	}
	os.Exit(m.Run())
}

var testSubjects = []selftest.Subject{{
	Objects: fstest.MapFS{"empty.bpf.o": {}},
	Cases: []selftest.Case{
		{Name: "passes", Object: "empty", Run: func(*selftest.Test) error { return nil }},
		{
			Name: "skips", Object: "empty", Refusals: selftest.Refusals{selftest.Using: {os.ErrExist}},
			Run: func(*selftest.Test) error {
				fmt.Println("noise")
				return selftest.At(selftest.Using, fmt.Errorf("two\nlines: %w", os.ErrExist))
			},
		},
		{Name: "fails", Object: "empty", Run: func(*selftest.Test) error { return fmt.Errorf("one\ntwo: %w", os.ErrExist) }},
		{Name: "panics", Object: "empty", Run: func(*selftest.Test) error { panic("no good") }},
	},
}, {
	Objects: fstest.MapFS{"hangs.bpf.o": {}},
	Cases:   []selftest.Case{{Name: "hangs", Run: func(*selftest.Test) error { time.Sleep(time.Hour); return nil }}},
}}

func TestRun(t *testing.T) {
	t.Setenv(asSelftest, "1")
	before := subjects
	subjects = testSubjects[:1]
	t.Cleanup(func() { subjects = before })
	for args, test := range map[string]struct {
		code int
		says []string
	}{
		"":               {codeUsage, []string{"usage: selftest"}},
		"-nothing":       {codeUsage, []string{"usage: selftest"}},
		"-list passes":   {codeUsage, []string{"usage: selftest"}},
		"nothing":        {codeUsage, []string{`there is no case "nothing"`}},
		"passes nothing": {codeUsage, []string{`there is no case "nothing"`}},
		"-list":          {0, []string{"fails ", "panics ", "passes ", "skips "}},
		"passes":         {selftest.CodePassed, nil},
		"skips":          {selftest.CodeSkipped, nil},
		"fails":          {selftest.CodeFailed, nil},
		"passes passes":  {0, []string{"passes ", " passed ", "selftests: 2 passed, 0 skipped, 0 failed\n"}},
		"passes skips":   {0, []string{"skips ", " skipped ", " s  two lines: file already exists\n", "selftests: 1 passed, 1 skipped, 0 failed\n"}},
		"skips skips":    {1, []string{"selftests: 0 passed, 2 skipped, 0 failed\n"}},
		"passes fails":   {1, []string{" FAILED ", "exit status 1\n", "\nfails:\n    failed: one\n    two: file already exists\n", "1 passed, 0 skipped, 1 failed\n"}},
		"all":            {1, []string{"panic: no good", "selftests: 1 passed, 1 skipped, 2 failed\n"}},
	} {
		var out strings.Builder
		if code := run(strings.Fields(args), &out, &out); code != test.code {
			t.Errorf("%q: exit code %d, want %d", args, code, test.code)
		}
		for _, s := range test.says {
			if !strings.Contains(out.String(), s) {
				t.Errorf("%q doesn't say %q:\n%s", args, s, out.String())
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Setenv(asSelftest, "1")
	if _, err := process("hangs", 200*time.Millisecond); err == nil || err.Error() != "it has run for more than 200ms" {
		t.Errorf("%v", err)
	}
}

func TestLastLine(t *testing.T) {
	for output, want := range map[string]string{
		"passed\n":                       "passed",
		"noise\nskipped: two\n":          "two",
		"noise\nskipped: one: skipped: ": "one: skipped:",
		"":                               "",
	} {
		if got := lastLine(output); got != want {
			t.Errorf("%q: %q", output, got)
		}
	}
}

// Each case has a unique name, a description and an existing object. Each object is used by a case.
func TestCases(t *testing.T) {
	names := all()
	if compact := slices.Compact(slices.Clone(names)); len(compact) != len(names) {
		t.Errorf("two cases have one name: %q", names)
	}
	for _, subject := range subjects {
		objects, err := fs.Glob(subject.Objects, "*.bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		unused := slices.Clone(objects)
		for _, c := range subject.Cases {
			if c.Name == "all" || strings.HasPrefix(c.Name, "-") || strings.ContainsAny(c.Name, " /.") || c.Checks == "" || c.Run == nil {
				t.Errorf("%+v", c)
			}
			if !slices.Contains(objects, c.ObjectFile()) {
				t.Errorf("%s has no object %s", c.Name, c.ObjectFile())
			}
			unused = slices.DeleteFunc(unused, func(object string) bool { return object == c.ObjectFile() })
		}
		if len(unused) > 0 {
			t.Errorf("no case has %q", unused)
		}
	}
}

// The files of expected outcomes name existing cases only.
func TestExpectations(t *testing.T) {
	for _, file := range []string{"expected", "expected-arm64"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name := strings.Fields(line)[0]
			if _, _, ok := find(name); !ok && name != "#" && !strings.Contains(name, ".test") {
				t.Errorf("%s: there is no case %q", file, name)
			}
		}
	}
}
