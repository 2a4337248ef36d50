// Steps runs a named case, a series of calls to libbpfgo, and prints the results of each call, so that the behavior of
// two libraries can be compared. Without an argument it lists the cases.
//
// It prints nothing that differs from run to run, such as descriptors, ids, addresses or times. Of errors it prints the
// errno only.
package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes beyond those of the Go runtime.
const (
	exitSetup = 3  // the preparation of the case failed, so that its results mean nothing
	exitSkip  = 77 // the machine lacks something that the case needs
)

var cases = map[string]func(){}

// add adds cases to the table.
func add(more map[string]func()) {
	for name, run := range more {
		if cases[name] != nil {
			panic("two cases are called " + name)
		}
		cases[name] = run
	}
}

func main() {
	if len(os.Args) == 1 {
		var names []string
		for name := range cases {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Println(strings.Join(names, "\n"))
		return
	}
	run, ok := cases[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "there is no case", os.Args[1])
		os.Exit(exitSetup)
	}
	run()
}

// show prints the results of a step: show("step")(call()).
func show(step string, args ...any) func(results ...any) {
	return func(results ...any) {
		if len(results) == 0 {
			results = []any{"done"}
		}
		texts := make([]string, len(results))
		for i, r := range results {
			texts[i] = text(r)
		}
		fmt.Printf("%s: %s\n", fmt.Sprintf(step, args...), strings.Join(texts, ", "))
	}
}

func text(result any) string {
	switch r := result.(type) {
	case nil:
		return "nil"
	case error:
		return class(r)
	case []byte:
		return fmt.Sprintf("[%x]", r)
	case [][]byte:
		return fmt.Sprintf("%x", r)
	case string:
		return fmt.Sprintf("%q", r)
	}
	if v := reflect.ValueOf(result); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "nil"
		}
		return "not nil"
	}
	return fmt.Sprint(result)
}

// class returns the part of an error that programs can test without reading its text: the errno that errors.Is finds.
// libbpf's own error codes begin at 4000.
func class(err error) string {
	var found []string
	for n := syscall.Errno(1); n < 4020; n++ {
		if errors.Is(err, n) {
			name := unix.ErrnoName(n)
			if name == "" {
				name = fmt.Sprint(int(n))
			}
			found = append(found, name)
		}
	}
	if found == nil {
		return "error"
	}
	return strings.Join(found, "+")
}

// must returns the value of a call that has to succeed for the case to continue.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(exitSetup)
	}
}

func skip(reason string, args ...any) {
	fmt.Fprintf(os.Stderr, reason+"\n", args...)
	os.Exit(exitSkip)
}
