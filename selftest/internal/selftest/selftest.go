// Package selftest is what all selftests share: how they end, and how they load their object.
package selftest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// skipped is the exit code of a test that can't run.
const skipped = 77

// errSkip marks what the kernel or the user lacks, as against what went wrong.
var errSkip = errors.New("can't run here")

// Run ends the process as test says: 0 if it returned nil, 77 if its error is one of [Skip] or the
// library's or the kernel's word that a feature is missing, and 1 else. The last line of the output
// tells the reason.
func Run(test func() error) {
	err := test()
	switch {
	case err == nil:
		fmt.Println("passed")
	case errors.Is(err, errSkip), errors.Is(err, errors.ErrUnsupported),
		errors.Is(err, syscall.EPERM) && os.Geteuid() != 0:
		// On one line, also if the kernel's verifier has told the reason.
		fmt.Println("skipped:", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(skipped)
	default:
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// Skip returns err as the reason to skip the test if it is one of refusals, by which a kernel tells
// that it lacks what the test is about, and as it is if not.
func Skip(err error, refusals ...error) error {
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %w", errSkip, err)
		}
	}
	return err
}

// SkipUnverified is [Skip] for a program that a kernel refuses by EPERM before it has verified an
// instruction.
func SkipUnverified(err error) error {
	var rejected *bpf.VerifierError
	if errors.As(err, &rejected) && !strings.Contains(rejected.Log, "processed 0 insns") {
		return err
	}
	return Skip(err, syscall.EPERM)
}

// Load opens object, tells its programs through the variable target_pid, if it has one, which process
// they are to look at, prepares it by the given functions, and loads it.
func Load(object []byte, prepare ...func(*bpf.Module) error) (*bpf.Module, error) {
	module, err := bpf.NewModuleFromBuffer(object, "selftest")
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
	return module.BPFLoadObject()
}
