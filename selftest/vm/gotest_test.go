package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	// ^ stands for goTestMark.
	output := strings.ReplaceAll(`^=== RUN   TestGood
    a_test.go:1: well
libbpf: of the good one
^--- PASS: TestGood (0.00s)
^=== NAME  
^=== RUN   TestSkips
^=== RUN   TestSkips/sub
    a_test.go:2: before
    a_test.go:3: no kernel:
        two lines
^--- SKIP: TestSkips/sub (0.01s)
^=== NAME  TestSkips
^--- PASS: TestSkips (0.01s)
^=== RUN   TestSilent
^--- SKIP: TestSilent (0.00s)
^=== RUN   TestParallel
^=== PAUSE TestParallel
^=== RUN   TestBad
^=== ATTR  TestBad key value
    a_test.go:4: it's wrong
without a line's end^=== CONT  TestParallel
    a_test.go:5: in parallel
^=== NAME  TestBad
    a_test.go:6: it's still wrong
^--- FAIL: TestBad (0.00s)
left behind
^=== RUN   TestCrash
SIGSEGV
^=== RUN   TestHangs
^
`, "^", goTestMark)
	rest, skips, err := summarize("a.test", strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	want := `--- FAIL: TestBad (0.00s)
    a_test.go:4: it's wrong
without a line's end
    a_test.go:6: it's still wrong
left behind
not finished: TestCrash
SIGSEGV
not finished: TestHangs
not finished: TestParallel
    a_test.go:5: in parallel
`
	if rest != want {
		t.Errorf("%s", rest)
	}
	if len(skips) != 2 {
		t.Fatalf("%+v", skips)
	}
	for i, want := range []string{"a.test/TestSkips/sub: no kernel: two lines", "a.test/TestSilent: it doesn't say why"} {
		if got := skips[i].Test + ": " + skips[i].reason(); got != want || skips[i].outcome() != skipped {
			t.Errorf("%q, %s", got, skips[i].outcome())
		}
	}

	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "%s=== RUN   Test%d\n%s\n%[1]s--- FAIL: Test%d (0.00s)\n", goTestMark, i, strings.Repeat("x", 5000), i)
	}
	if rest, _, err := summarize("a.test", strings.NewReader(long.String())); err != nil || len(rest) != programOutput {
		t.Errorf("%d bytes are kept, %v", len(rest), err)
	}
}

// A skip in a Go test program that isn't expected, and an expected one that doesn't happen, are reported.
func TestSkipsInGoTests(t *testing.T) {
	fill := func(code int, skips ...string) *table {
		table := newTable([]string{"old"})
		results := map[string]result{"a.test": {Test: "a.test", Code: code}}
		for _, name := range skips {
			results[name] = result{Test: name, Code: codeSkipped, Output: skipMark + "because"}
		}
		table.add("old", session{version: "1.0", tests: []string{"a.test"}, results: results}, nil)
		return table
	}
	good := fill(0, "a.test/TestSkips")
	want := make(expectations)
	want.update(good)
	good.compare(want)
	if text := good.String(); !good.ok() || !strings.Contains(text, "\na.test/TestSkips was skipped on old: because\n") {
		t.Error(text)
	}
	if text := want.String(); !strings.HasSuffix(text, "\na.test/TestSkips   old      skipped\n") {
		t.Error(text)
	}
	for name, table := range map[string]*table{
		"another skip": fill(0, "a.test/TestSkips", "a.test/TestOther"),
		"no skip":      fill(0),
	} {
		table.compare(want)
		if len(table.wrong) != 1 {
			t.Errorf("%s: %v", name, table.wrong)
		}
	}
	crashed := fill(1)
	crashed.compare(want)
	if len(crashed.wrong) != 0 || crashed.ok() {
		t.Errorf("crashed: %v", crashed.wrong)
	}
}

func TestReason(t *testing.T) {
	for output, want := range map[string]string{
		"libbpf: x\nskipped: load:\n\t0: R1=ctx\n\t1: exit\n": "load: 0: R1=ctx 1: exit",
		"skipped: invalid argument:\n\t\n":                    "invalid argument",
		"skipped: " + strings.Repeat("é", reasonLength):       strings.Repeat("é", reasonLength/2) + "…",
	} {
		if got := (result{Output: output}).reason(); got != want {
			t.Errorf("%q: %q", output, got)
		}
	}
}
