package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Expectations are outcomes by test and kernel. Of the tests in Go test programs they have those that are skipped.
type expectations map[[2]string]string

// parseExpectations reads a file of them: a test, a kernel and an outcome on each line.
func parseExpectations(text string) expectations {
	e := make(expectations)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] != "#" {
			e[[2]string{fields[0], fields[1]}] = fields[2]
		}
	}
	return e
}

// String returns the file's text.
func (e expectations) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# What each selftest does on each kernel, written by make vmtest-all ARCH=%s UPDATE=1.\n", *arch)
	keys := slices.SortedFunc(maps.Keys(e), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		fmt.Fprintf(&text, "%-18s %-8s %s\n", key[0], key[1], e[key])
	}
	return text.String()
}

// update takes what has come of the tests that were to run, on the kernels that were to run.
func (e expectations) update(t *table) {
	maps.DeleteFunc(e, func(key [2]string, _ string) bool {
		return chosen(key[0]) && slices.Contains(t.kernels, key[1])
	})
	for test, results := range t.results {
		for kernel, r := range results {
			e[[2]string{test, kernel}] = r.outcome()
		}
	}
}

// missing returns a kernel of the expectations that isn't among these; the empty string if there is none.
func (e expectations) missing(kernels []string) string {
	for key := range e {
		if !slices.Contains(kernels, key[1]) {
			return key[1]
		}
	}
	return ""
}

// documents tells why a table of these kernels is no documentation: it lacks tests or kernels.
func (e expectations) documents(kernels []string) error {
	if *only != "" {
		return fmt.Errorf("the document is of all tests: it can't be written with %s alone", *only)
	}
	if kernel := e.missing(kernels); kernel != "" {
		return fmt.Errorf("the document is of all kernels that %s has: it can't be written without %s", *expected, kernel)
	}
	return nil
}
