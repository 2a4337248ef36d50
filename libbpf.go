// Package libbpfgo binds libbpf, the C library that loads BPF objects into the Linux kernel.
//
// A [Module] is a BPF object: an ELF file compiled by clang, with its maps ([BPFMap]) and
// programs ([BPFProg]). It is opened, adjusted, loaded, its programs are attached ([BPFLink]), and
// what they send arrives through buffers ([RingBuffer]) as Go slices.
//
//	module, err := libbpfgo.NewModuleFromFile("prog.bpf.o")
//	if err != nil {
//		return err
//	}
//	defer module.Close()
//	if err := module.BPFLoadObject(); err != nil {
//		return err
//	}
//
// The package has the names and signatures of github.com/aquasecurity/libbpfgo and can stand in
// for it by a replace line in go.mod.
//
// # Lifetimes
//
// A Module owns its maps, programs, links and buffers; [Module.Close] closes what is still open.
// Every Close and Destroy may be called twice and from any goroutine. After it, methods that
// return an error return one for which errors.Is(err, os.ErrClosed) holds, the others return what
// is still known or a zero value; none crashes. Nil and zero values of the types are like what was
// closed, except for some methods of a nil [BPFMap] or [BPFMapLow] and for [TcHook], see there.
//
// # Errors
//
// Errors wrap the kernel's code, errors.Is(err, syscall.ENOENT), or libbpf's own ([LibbpfErrno]),
// and carry what libbpf had to say. What the kernel or the linked libbpf doesn't have gives an
// error for which errors.Is(err, errors.ErrUnsupported) holds.
//
// # Linking
//
// After make, in a checkout, the package links the libbpf.a that was built there. Elsewhere, also in
// a vendor folder, it links the one that make install put into /usr/local, or else the system's
// libbpf (1.1 or newer). What CGO_CFLAGS and CGO_LDFLAGS name goes before all of them; with the
// build tag libbpf_external, it is all that there is.
package libbpfgo

/*
#cgo CFLAGS: -O2 -fstack-protector-strong
#cgo !libbpf_external CFLAGS: -I${SRCDIR}/build/include
#cgo !libbpf_external LDFLAGS: -L${SRCDIR}/build/lib -L/usr/local/lib -lbpf -lelf -lz
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// MajorVersion returns the major version of the linked libbpf.
//
// Implements: libbpf_major_version
func MajorVersion() int {
	return int(C.libbpf_major_version())
}

// MinorVersion returns the minor version of the linked libbpf.
//
// Implements: libbpf_minor_version
func MinorVersion() int {
	return int(C.libbpf_minor_version())
}

// LibbpfVersionString returns the version of the linked libbpf as "v1.7".
//
// Implements: libbpf_version_string
func LibbpfVersionString() string {
	return fmt.Sprintf("v%d.%d", MajorVersion(), MinorVersion())
}

// needLibbpf returns an error if the libbpf that this package was compiled with is older than the
// one that brought function.
func needLibbpf(major, minor int, function string) error {
	if C.LIBBPF_MAJOR_VERSION > major || C.LIBBPF_MAJOR_VERSION == major && C.LIBBPF_MINOR_VERSION >= minor {
		return nil
	}
	return &unsupportedError{function: function, major: major, minor: minor}
}

// cInt returns n as C's int; ERANGE, with what n is, if it is too large for that.
func cInt(n int, what string) (C.int, error) {
	if int(C.int(n)) != n {
		return 0, fmt.Errorf("%s %d: %w", what, n, syscall.ERANGE)
	}
	return C.int(n), nil
}

// cInts is cInt for each number of a list.
func cInts(list []int, what string) ([]C.int, error) {
	var ints []C.int
	for _, n := range list {
		c, err := cInt(n, what)
		if err != nil {
			return nil, err
		}
		ints = append(ints, c)
	}
	return ints, nil
}

// possibleCPUs is what NumPossibleCPUs has found; it never changes.
var possibleCPUs atomic.Int32

// NumPossibleCPUs returns the number of CPUs that the kernel may ever have online, which is the
// number of values that an element of a per-CPU map has.
//
// Implements: libbpf_num_possible_cpus
func NumPossibleCPUs() (int, error) {
	if n := possibleCPUs.Load(); n > 0 {
		return int(n), nil
	}
	var n C.int
	err := watched("count the possible CPUs", func() error {
		n = C.libbpf_num_possible_cpus()
		return codeOf(n)
	})
	if err != nil {
		return 0, err
	}
	possibleCPUs.Store(int32(n))
	return int(n), nil
}

// LibbpfStrictMode selects what libbpf before 1.0 could do in the way of 1.0 (enum
// libbpf_strict_mode).
type LibbpfStrictMode uint32

// The modes.
const (
	LibbpfStrictModeAll               LibbpfStrictMode = C.LIBBPF_STRICT_ALL
	LibbpfStrictModeNone              LibbpfStrictMode = C.LIBBPF_STRICT_NONE
	LibbpfStrictModeCleanPtrs         LibbpfStrictMode = C.LIBBPF_STRICT_CLEAN_PTRS
	LibbpfStrictModeDirectErrs        LibbpfStrictMode = C.LIBBPF_STRICT_DIRECT_ERRS
	LibbpfStrictModeSecName           LibbpfStrictMode = C.LIBBPF_STRICT_SEC_NAME
	LibbpfStrictModeNoObjectList      LibbpfStrictMode = C.LIBBPF_STRICT_NO_OBJECT_LIST
	LibbpfStrictModeAutoRlimitMemlock LibbpfStrictMode = C.LIBBPF_STRICT_AUTO_RLIMIT_MEMLOCK
	LibbpfStrictModeMapDefinitions    LibbpfStrictMode = C.LIBBPF_STRICT_MAP_DEFINITIONS
)

// String returns the mode's name in C; that of [LibbpfStrictModeNone] for a value that isn't known.
func (b LibbpfStrictMode) String() string {
	switch b {
	case LibbpfStrictModeAll:
		return "LIBBPF_STRICT_ALL"
	case LibbpfStrictModeCleanPtrs:
		return "LIBBPF_STRICT_CLEAN_PTRS"
	case LibbpfStrictModeDirectErrs:
		return "LIBBPF_STRICT_DIRECT_ERRS"
	case LibbpfStrictModeSecName:
		return "LIBBPF_STRICT_SEC_NAME"
	case LibbpfStrictModeNoObjectList:
		return "LIBBPF_STRICT_NO_OBJECT_LIST"
	case LibbpfStrictModeAutoRlimitMemlock:
		return "LIBBPF_STRICT_AUTO_RLIMIT_MEMLOCK"
	case LibbpfStrictModeMapDefinitions:
		return "LIBBPF_STRICT_MAP_DEFINITIONS"
	}
	return "LIBBPF_STRICT_NONE"
}

// SetStrictMode does nothing: libbpf is strict since 1.0.
//
// Implements: libbpf_set_strict_mode
func SetStrictMode(mode LibbpfStrictMode) {
	C.libbpf_set_strict_mode(C.enum_libbpf_strict_mode(mode))
}
