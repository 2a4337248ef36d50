// Selftest checks what libbpfgo can do in the running kernel. It is one static program that needs nothing beside it.
//
//	selftest -list           what there is
//	selftest kprobe          one case, in this process
//	selftest kprobe tc       several, each in a process of its own, and a table
//	selftest all             all of them
//
// One case exits with 0 if it has passed, with 77 if the machine can't run it, for a reason that is on the last line,
// and with anything else if it has failed. Several exit with 1 if one has failed or none could be run. Wrong
// arguments exit with 2.
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

// A case runs on the first thread of its process, whose namespaces, affinity, perf events and task storage are those
// that the kernel has under the process's id.
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
	timeout := flags.Duration("timeout", time.Minute, "how long each of several cases may run")
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
			fmt.Fprintf(errs, "selftest: there is no case %q; selftest -list names those that there are\n", name)
			return codeUsage
		}
	}
	if len(names) > 1 {
		return table(out, names, *timeout)
	}
	subject, c, _ := find(names[0])
	return subject.Exit(c)
}

// all returns the names of all cases in their order.
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

// table runs cases, each in a process of its own, prints what comes of each, and then the output of those that have
// failed and the totals. It returns the exit code.
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

// process runs a case in a process of its own and returns what that has printed.
func process(name string, timeout time.Duration) (output string, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, fmt.Errorf("it has run for more than %v", timeout))
	defer cancel()
	var text bytes.Buffer
	command := exec.CommandContext(ctx, "/proc/self/exe", name)
	command.Stdout, command.Stderr = &text, &text
	command.WaitDelay = time.Second // for processes that it has left behind with its output
	err = command.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return text.String(), err
}

// lastLine returns the reason for which a case was skipped.
func lastLine(output string) string {
	output = strings.TrimSpace(output)
	return strings.TrimPrefix(output[strings.LastIndex(output, "\n")+1:], selftest.SkipMark)
}
