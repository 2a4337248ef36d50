// Steps runs one named case of calls to libbpfgo and prints what each of them gave, so that two
// libraries can be compared by what they do. Without an argument it lists the cases.
//
// Nothing is printed that differs from run to run: no descriptors, ids, addresses or times, and of
// errors the number only, not the text.
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
	exitSetup = 3  // what a case needs first didn't work, so that it says nothing
	exitSkip  = 77 // the kernel has not what the case needs
)

var cases = map[string]func(){}

// add puts cases into the table.
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

// class is what programs can find out about an error other than by reading its text: which errno it
// is. libbpf's own codes begin at 4000.
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

// must returns the value of a call that a case can't do without.
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
