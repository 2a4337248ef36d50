package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Expectations are the expected outcomes by test and kernel. Tests within a Go test program are listed only if they are
// skipped.
type expectations map[[2]string]string

// parseExpectations reads the text of a file of expectations: a test, a kernel and an outcome on each line.
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
	fmt.Fprintf(&text, "# The expected outcome of each selftest on each kernel, written by make vmtest-all ARCH=%s UPDATE=1.\n",
		*arch)
	keys := slices.SortedFunc(maps.Keys(e), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		fmt.Fprintf(&text, "%-18s %-8s %s\n", key[0], key[1], e[key])
	}
	return text.String()
}

// update replaces the expectations for the selected tests on the table's kernels by the outcomes in the table.
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

// missing returns a kernel that the expectations have and kernels doesn't, or the empty string.
func (e expectations) missing(kernels []string) string {
	for key := range e {
		if !slices.Contains(kernels, key[1]) {
			return key[1]
		}
	}
	return ""
}

// documents returns an error if the table of this run can't be the documentation: it lacks tests or kernels.
func (e expectations) documents(kernels []string) error {
	if *only != "" {
		return fmt.Errorf("the document must have all tests: it can't be written with %s alone", *only)
	}
	if *short {
		return errors.New("the document is of whole tests: it can't be written with -short")
	}
	if kernel := e.missing(kernels); kernel != "" {
		return fmt.Errorf("the document must have all kernels in %s: it can't be written without %s", *expected, kernel)
	}
	return nil
}
