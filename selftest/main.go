// Selftest tests libbpfgo on the running kernel. It is one static program that needs no other file.
//
//	selftest -list           list the cases
//	selftest kprobe          run one case in this process
//	selftest kprobe tc       run several cases, each in its own process, and print a table
//	selftest all             run all cases in this way
//
// With one case, the exit code is 0 if it passed, 77 if it was skipped because the machine can't run it, and another
// code if it failed. The last line of a skipped case's output is the reason. With several cases, the exit code is 0 if
// at least one passed and none failed, and 1 otherwise. Wrong arguments exit with 2.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seed-36717feb/libbpfgo/selftest/cgroup"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
	"github.com/seed-36717feb/libbpfgo/selftest/iterators"
	"github.com/seed-36717feb/libbpfgo/selftest/maps"
	"github.com/seed-36717feb/libbpfgo/selftest/network"
	"github.com/seed-36717feb/libbpfgo/selftest/object"
	"github.com/seed-36717feb/libbpfgo/selftest/probes"
	"github.com/seed-36717feb/libbpfgo/selftest/streams"
	"github.com/seed-36717feb/libbpfgo/selftest/tracing"
)

var subjects = []selftest.Subject{
	cgroup.Cases, iterators.Cases, maps.Cases, network.Cases, object.Cases, probes.Cases, streams.Cases, tracing.Cases,
}

// codeUsage is the exit code for wrong arguments.
const codeUsage = 2

// Lock the main goroutine, which runs the case, to the first thread of the process. The kernel uses the process id as
// the id of this thread, so that namespaces, affinity, perf events and task storage looked up by it are the case's own.
func init() {
	runtime.LockOSThread()
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("selftest", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: selftest -list | [-timeout 1m] all | [-timeout 1m] CASE...")
		flags.PrintDefaults()
	}
	list := flags.Bool("list", false, "print the name of each case, and what it checks")
	timeout := flags.Duration("timeout", time.Minute, "time limit for each case, if there are several")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return codeUsage
	}
	names := flags.Args()
	switch {
	case *list && len(names) == 0:
		for _, name := range all() {
			_, c, _ := find(name)
			fmt.Fprintf(out, "%-19s %s\n", c.Name, c.Checks)
		}
		return 0
	case *list || len(names) == 0:
		flags.Usage()
		return codeUsage
	case len(names) == 1 && names[0] == "all":
		return table(out, all(), *timeout)
	}
	for _, name := range names {
		if _, _, ok := find(name); !ok {
			fmt.Fprintf(errs, "selftest: there is no case %q; selftest -list prints the names\n", name)
			return codeUsage
		}
	}
	if len(names) > 1 {
		return table(out, names, *timeout)
	}
	subject, c, _ := find(names[0])
	return subject.Exit(c)
}

// all returns the names of all cases, sorted.
func all() (names []string) {
	for _, subject := range subjects {
		for _, c := range subject.Cases {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

func find(name string) (selftest.Subject, selftest.Case, bool) {
	for _, subject := range subjects {
		for _, c := range subject.Cases {
			if c.Name == name {
				return subject, c, true
			}
		}
	}
	return selftest.Subject{}, selftest.Case{}, false
}

// table runs cases, each in its own process. It prints a line with the result of each, then the output of the failed
// ones, then the totals. It returns the exit code.
func table(out io.Writer, names []string, timeout time.Duration) int {
	var passed, skipped, failed int
	var failures strings.Builder
	for _, name := range names {
		begin := time.Now()
		output, err := process(name, timeout)
		seconds := time.Since(begin).Seconds()
		var exit *exec.ExitError
		result, reason := "passed", ""
		switch {
		case err == nil:
			passed++
		case errors.As(err, &exit) && exit.ExitCode() == selftest.CodeSkipped:
			skipped++
			result, reason = "skipped", lastLine(output)
		default:
			failed++
			result, reason = "FAILED", err.Error()
			fmt.Fprintf(&failures, "\n%s:\n    %s\n", name, strings.ReplaceAll(strings.TrimSpace(output), "\n", "\n    "))
		}
		fmt.Fprintf(out, "%-22s %-8s %5.1f s  %s\n", name, result, seconds, reason)
	}
	fmt.Fprint(out, failures.String())
	fmt.Fprintf(out, "selftests: %d passed, %d skipped, %d failed\n", passed, skipped, failed)
	if failed > 0 || passed == 0 {
		return 1
	}
	return 0
}

// process runs a case in its own process and returns its output.
func process(name string, timeout time.Duration) (output string, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, fmt.Errorf("it has run for more than %v", timeout))
	defer cancel()
	var text bytes.Buffer
	command := exec.CommandContext(ctx, "/proc/self/exe", name)
	command.Stdout, command.Stderr = &text, &text
	command.WaitDelay = time.Second // don't wait longer for children of the case that keep its output open
	err = command.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return text.String(), err
}

// lastLine returns the last line of a case's output without the skip mark: the reason of a skip.
func lastLine(output string) string {
	output = strings.TrimSpace(output)
	return strings.TrimPrefix(output[strings.LastIndex(output, "\n")+1:], selftest.SkipMark)
}
