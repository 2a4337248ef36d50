// Package selftest defines what a selftest case is, runs it and decides its result. It also has the functions that
// cases share.
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

// A Case is one selftest. It runs in its own process, on the process's first thread.
type Case struct {
	Name     string
	Checks   string // the behavior under test, as in "a program runs at a tracepoint"
	Object   string // name of the BPF object's file, without .bpf.o; Name if empty
	Needs    []Need // provided in this order
	Refusals Refusals
	Run      func(*Test) error
}

// Refusals lists, for each step of a case, the errors by which a kernel reports that it lacks the feature under test.
// Such an error at its step skips the case. The same error at another step, or any other error, fails it.
type Refusals map[Step][]error

// A Step is a part of a case that a kernel may refuse.
type Step int

const (
	Preparing Step = iota // creating what the case needs besides its object
	Loading               // loading the case's object
	Attaching             // attaching one of its programs or maps
	Using                 // the first use of the feature under test
)

// A Test is a running case.
type Test struct {
	Object []byte
	Cgroup string // path of the process's cgroup, for a case that needs [Cgroup]
	BPFFS  string // path of a BPF file system, for a case that needs [BPFFS]
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
		// One line, also if the error has a verifier log of several lines.
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

// refused reports whether err is the error of a step and is listed in the case's refusals for that step.
func (c Case) refused(err error) bool {
	step, ok := err.(*stepError)
	return ok && slices.ContainsFunc(c.Refusals[step.step], func(refusal error) bool { return matches(step.err, refusal) })
}

// At marks err as an error of the given step. It returns nil if err is nil.
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

// isSkip reports whether err skips a case: a skip or, if the user isn't root, any EPERM.
func isSkip(err error) bool {
	_, ok := err.(*skip)
	return ok || err == syscall.EPERM && os.Geteuid() != 0
}

// consists reports whether f is true for err or an error that it wraps. If err joins several errors, such as the error
// of a case and the error of its clean-up, consists must be true for each of them.
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

// A refusal is an entry of [Refusals] that matches errors by a function.
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

// ENOTSUPP is an error code internal to the kernel. arm64 without BPF trampolines returns it.
const ENOTSUPP = syscall.Errno(524)

// Locked matches the EPERM of a kernel that refuses to load any program of a type: the verifier has processed no
// instruction of it.
var Locked error = &refusal{"the kernel is locked for such programs", func(err error) bool {
	var rejected *bpf.VerifierError
	if errors.As(err, &rejected) && !strings.Contains(rejected.Log, "processed 0 insns") {
		return false
	}
	return errors.Is(err, syscall.EPERM)
}}

// NoKprobes matches the errors of attaching a kprobe on a kernel without kprobes. On a kernel with kprobes it matches
// no error.
var NoKprobes error = &refusal{"the kernel has no kprobes", func(err error) bool {
	for _, path := range []string{"/sys/kernel/tracing/kprobe_events", "/sys/kernel/debug/tracing/kprobe_events"} {
		if _, err := os.Stat(path); err == nil {
			return false
		}
	}
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EPERM)
}}

// Load opens the case's object, sets its variable target_pid, if it has one, to this process's id, calls the prepare
// functions, and loads the object.
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

// LoadProgram is [Test.Load] and also returns a program of the object.
func (t *Test) LoadProgram(name string, prepare ...func(*bpf.Module) error) (*bpf.Module, *bpf.BPFProg, error) {
	return loadWith(t, (*bpf.Module).GetProgram, name, prepare)
}

// LoadMap is [Test.Load] and also returns a map of the object.
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
