package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// A LibbpfErrno is an error code of libbpf beyond the kernel's. Errors wrap it: compare by errors.Is, which also
// matches the syscall.Errno of the same number.
type LibbpfErrno int

// libbpf's own codes.
const (
	LibbpfErrnoLibelf   LibbpfErrno = C.LIBBPF_ERRNO__LIBELF   // something wrong in libelf
	LibbpfErrnoFormat   LibbpfErrno = C.LIBBPF_ERRNO__FORMAT   // BPF object format invalid
	LibbpfErrnoKversion LibbpfErrno = C.LIBBPF_ERRNO__KVERSION // no or incorrect "version" section
	LibbpfErrnoEndian   LibbpfErrno = C.LIBBPF_ERRNO__ENDIAN   // object of the other byte order
	LibbpfErrnoInternal LibbpfErrno = C.LIBBPF_ERRNO__INTERNAL // internal error in libbpf
	LibbpfErrnoReloc    LibbpfErrno = C.LIBBPF_ERRNO__RELOC    // relocation failed
	LibbpfErrnoLoad     LibbpfErrno = C.LIBBPF_ERRNO__LOAD     // load of the program failed, reason unknown
	LibbpfErrnoVerify   LibbpfErrno = C.LIBBPF_ERRNO__VERIFY   // program rejected by the verifier
	LibbpfErrnoProg2Big LibbpfErrno = C.LIBBPF_ERRNO__PROG2BIG // program too big
	LibbpfErrnoKver     LibbpfErrno = C.LIBBPF_ERRNO__KVER     // kernel version of the program doesn't match
	LibbpfErrnoProgtype LibbpfErrno = C.LIBBPF_ERRNO__PROGTYPE // kernel doesn't support the program type
	LibbpfErrnoWrngpid  LibbpfErrno = C.LIBBPF_ERRNO__WRNGPID  // wrong pid in a netlink message
	LibbpfErrnoInvseq   LibbpfErrno = C.LIBBPF_ERRNO__INVSEQ   // invalid netlink sequence
	LibbpfErrnoNlparse  LibbpfErrno = C.LIBBPF_ERRNO__NLPARSE  // netlink message that can't be parsed
)

// Error returns libbpf's text for the code.
//
// Implements: libbpf_strerror
func (e LibbpfErrno) Error() string {
	code, err := cInt(int(e), "libbpf error")
	if err != nil {
		return err.Error()
	}
	var buf [128]C.char
	C.libbpf_strerror(code, &buf[0], C.size_t(len(buf)))
	return C.GoString(&buf[0])
}

// Is makes errors.Is find the code as a syscall.Errno, too.
func (e LibbpfErrno) Is(target error) bool {
	return target == syscall.Errno(e)
}

// notSupported is the kernel's ENOTSUPP. It is not ENOTSUP, and package syscall has no text for it.
type notSupported struct{}

const enotsupp = syscall.Errno(524)

func (notSupported) Error() string {
	return "operation not supported by the kernel (ENOTSUPP)"
}

func (notSupported) Is(target error) bool {
	return target == errors.ErrUnsupported || target == enotsupp
}

// verifierLog parses the message in which libbpf prints a rejected program's log.
func verifierLog(msg string) (program, log string, ok bool) {
	msg, ok = strings.CutPrefix(msg, "prog '")
	if !ok {
		return "", "", false
	}
	program, log, ok = strings.Cut(msg, "': -- BEGIN PROG LOAD LOG --\n")
	if !ok {
		return "", "", false
	}
	return program, strings.TrimSuffix(log, "-- END PROG LOAD LOG --"), true
}

// A VerifierError is the rejection of a program by the kernel. errors.As finds it in the error of
// [Module.BPFLoadObject]. It wraps the kernel's error code.
type VerifierError struct {
	// Program is the name of the program.
	Program string
	// Log is the verifier's complete log.
	Log string

	err error
}

// verifierLines is the number of the log's last lines that [VerifierError.Error] shows.
const verifierLines = 4

// Error returns the program's name, the reason, and the last lines of the log. If the verifier has explained its
// decision at the end of the log (Linux 7.3), the explanation and the line of the source follow.
func (e *VerifierError) Error() string {
	if e == nil {
		return "<nil>" // as package fmt prints a nil error
	}
	var lines []string
	for line := range strings.Lines(e.Log) {
		line = strings.TrimSpace(line)
		// The log's last lines are statistics, which don't help to find the cause.
		if line != "" && !strings.HasPrefix(line, "processed ") && !strings.HasPrefix(line, "verification time ") {
			lines = append(lines, line)
		}
	}
	shown, explanation := lines, []string(nil)
	isHeading := func(line string) bool { return strings.HasPrefix(line, "Verification failed: ") }
	if i := slices.IndexFunc(lines, isHeading); i >= 0 {
		shown, explanation = lines[:i], lines[i:]
		if end := slices.Index(explanation, "Source context:"); end >= 0 {
			explanation = explanation[:end]
		}
	}
	shown = slices.Concat(shown[max(0, len(shown)-verifierLines):], explanation)
	omitted := ""
	if n := len(lines) - len(shown); n > 0 {
		omitted = fmt.Sprintf(" (%d lines of its log are left out)", n)
	}
	text := fmt.Sprintf("load program %q: %v%s", e.Program, e.err, omitted)
	if len(shown) > 0 {
		text += ":\n\t" + strings.Join(shown, "\n\t")
	}
	return text
}

// Unwrap returns the kernel's error code.
func (e *VerifierError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.err
}
