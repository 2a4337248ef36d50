// Package selftest is what all selftests share: what a case is, how it ends, and how it goes about its test.
package selftest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// A Subject is a folder of cases with their BPF objects.
type Subject struct {
	Objects fs.FS
	Cases   []Case
}

// A Case is one selftest. It runs in a process of its own, on the process's first thread.
type Case struct {
	Name     string
	Checks   string // what it checks, as in "a program runs at a tracepoint"
	Object   string // the file of its BPF object without .bpf.o; Name if empty
	Needs    []Need // the first one is provided first
	Refusals Refusals
	Run      func(*Test) error
}

// Refusals are, for each step of a case, the errors by which a kernel reports that it lacks what the case is about.
// They skip the case. The same error at another step, or any other error, fails it.
type Refusals map[Step][]error

// A Step is a part of a case that a kernel may refuse.
type Step int

const (
	Preparing Step = iota // making what the case needs beside its object
	Loading               // loading the case's object
	Attaching             // attaching a program, or a map, of it
	Using                 // the first use of what the case is about
)

// A Test is a running case.
type Test struct {
	Object []byte
	Cgroup string // the folder of the process's cgroup, for a case that needs [Cgroup]
	BPFFS  string // the folder of a BPF file system, for a case that needs [BPFFS]
}

// The exit codes of a process that runs one case.
const (
	CodePassed  = 0
	CodeFailed  = 1
	CodeSkipped = 77
)

// SkipMark precedes the reason on the last line of a case that was skipped.
const SkipMark = "skipped: "

// Exit runs a case of the subject, prints how it ended, and returns the exit code.
func (s Subject) Exit(c Case) int {
	err := c.run(s.Objects)
	switch {
	case err == nil:
		fmt.Println("passed")
		return CodePassed
	case consists(err, isSkip):
		// On one line, although the verifier's log has several.
		fmt.Println(SkipMark + strings.Join(strings.Fields(err.Error()), " "))
		return CodeSkipped
	}
	fmt.Println("failed:", err)
	return CodeFailed
}

func (c Case) run(objects fs.FS) error {
	object, err := fs.ReadFile(objects, c.ObjectFile())
	if err != nil {
		return err
	}
	t := &Test{Object: object}
	run := func() error {
		err := c.Run(t)
		if consists(err, c.refused) {
			return &skip{err}
		}
		return err
	}
	for _, need := range slices.Backward(c.Needs) {
		inner := run
		run = func() error { return need(t, inner) }
	}
	return run()
}

// ObjectFile returns the name of the file with the case's BPF object.
func (c Case) ObjectFile() string {
	return cmp.Or(c.Object, c.Name) + ".bpf.o"
}

// refused reports whether err is one of the case's refusals, and comes from the step that they are for.
func (c Case) refused(err error) bool {
	step, ok := err.(*stepError)
	return ok && slices.ContainsFunc(c.Refusals[step.step], func(refusal error) bool { return matches(step.err, refusal) })
}

// At returns err as the error of a step; nil if err is nil.
func At(step Step, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{step, err}
}

type stepError struct {
	step Step
	err  error
}

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// A skip is the reason why a case can't run.
type skip struct{ err error }

func (e *skip) Error() string { return e.err.Error() }
func (e *skip) Unwrap() error { return e.err }

// isSkip reports whether err skips a case. If the user isn't root, any EPERM does.
func isSkip(err error) bool {
	_, ok := err.(*skip)
	return ok || err == syscall.EPERM && os.Geteuid() != 0
}

// consists reports whether f is true for err or an error that it wraps. If err wraps several, such as a case's error
// and that of the clean-up, f must be true for each of them, or for an error that it wraps.
func consists(err error, f func(error) bool) bool {
	if err == nil || f(err) {
		return err != nil
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return consists(e.Unwrap(), f)
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !consists(err, f) })
	}
	return false
}

// A refusal is an entry of [Refusals] that matches the errors for which is returns true.
type refusal struct {
	text string
	is   func(error) bool
}

func (r *refusal) Error() string { return r.text }

func matches(err, wanted error) bool {
	if r, ok := wanted.(*refusal); ok {
		return r.is(err)
	}
	return errors.Is(err, wanted)
}

// ENOTSUPP is a code of the kernel's own. arm64 reports by it that it has no trampolines.
const ENOTSUPP = syscall.Errno(524)

// Locked matches the EPERM of a kernel that refuses to load a program, whatever its instructions are: none was
// verified.
var Locked error = &refusal{"the kernel is locked for such programs", func(err error) bool {
	var rejected *bpf.VerifierError
	if errors.As(err, &rejected) && !strings.Contains(rejected.Log, "processed 0 insns") {
		return false
	}
	return errors.Is(err, syscall.EPERM)
}}

// NoKprobes matches the errors of attaching a program to a kprobe on a kernel that has none. If the kernel has
// kprobes, nothing matches.
var NoKprobes error = &refusal{"the kernel has no kprobes", func(err error) bool {
	for _, path := range []string{"/sys/kernel/tracing/kprobe_events", "/sys/kernel/debug/tracing/kprobe_events"} {
		if _, err := os.Stat(path); err == nil {
			return false
		}
	}
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EPERM)
}}

// Load opens the case's object, tells its programs through the variable target_pid, if it has one, which process
// they are to look at, prepares it by the given functions, and loads it.
func (t *Test) Load(prepare ...func(*bpf.Module) error) (*bpf.Module, error) {
	module, err := bpf.NewModuleFromBuffer(t.Object, "selftest")
	if err != nil {
		return nil, err
	}
	if err := load(module, prepare); err != nil {
		module.Close()
		return nil, err
	}
	return module, nil
}

func load(module *bpf.Module, prepare []func(*bpf.Module) error) error {
	err := module.InitGlobalVariable("target_pid", uint32(os.Getpid()))
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	for _, f := range prepare {
		if err := f(module); err != nil {
			return err
		}
	}
	return At(Loading, module.BPFLoadObject())
}

// LoadProgram is [Test.Load] that returns a program of the object, too.
func (t *Test) LoadProgram(name string, prepare ...func(*bpf.Module) error) (*bpf.Module, *bpf.BPFProg, error) {
	return loadWith(t, (*bpf.Module).GetProgram, name, prepare)
}

// LoadMap is [Test.Load] that returns a map of the object, too.
func (t *Test) LoadMap(name string, prepare ...func(*bpf.Module) error) (*bpf.Module, *bpf.BPFMap, error) {
	return loadWith(t, (*bpf.Module).GetMap, name, prepare)
}

func loadWith[T any](t *Test, get func(*bpf.Module, string) (*T, error), name string, prepare []func(*bpf.Module) error) (*bpf.Module, *T, error) {
	module, err := t.Load(prepare...)
	if err != nil {
		return nil, nil, err
	}
	part, err := get(module, name)
	if err != nil {
		module.Close()
		return nil, nil, err
	}
	return module, part, nil
}
