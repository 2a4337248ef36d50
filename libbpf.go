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

// possibleCPUs caches the result of NumPossibleCPUs, which never changes.
var possibleCPUs atomic.Int32

// NumPossibleCPUs returns the number of CPUs that can ever be online in this kernel. An element of a per-CPU map has
// that many values.
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

// LibbpfStrictMode selects behaviour of libbpf 1.0 in older versions (enum libbpf_strict_mode).
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

// String returns the mode's name in C, or the name of [LibbpfStrictModeNone] for an unknown value.
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

// SetStrictMode has no effect: libbpf is always strict since 1.0.
//
// Implements: libbpf_set_strict_mode
func SetStrictMode(mode LibbpfStrictMode) {
	C.libbpf_set_strict_mode(C.enum_libbpf_strict_mode(mode))
}
