package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// BPFProgramTypeIsSupported reports whether the running kernel can load programs of a type, by loading one. If the
// thread lacks the rights for that, the error is syscall.EPERM (errors.Is); if the process lacks descriptors, it is
// syscall.EMFILE.
//
// Implements: libbpf_probe_bpf_prog_type
func BPFProgramTypeIsSupported(progType BPFProgType) (bool, error) {
	return probe(fmt.Sprintf("probe program type %v (%[1]d)", progType), func() (bool, error) { return probeProgramType(progType) })
}

func probeProgramType(progType BPFProgType) (bool, error) {
	result, errno := C.libbpf_probe_bpf_prog_type(C.enum_bpf_prog_type(progType), nil)
	return probeResult(result, errno, capabilitiesAfterEPERM(progType))
}

// BPFMapTypeIsSupported reports whether the running kernel can create maps of a type, by creating one. If the thread
// lacks the rights for that, the error is syscall.EPERM (errors.Is); if the process lacks descriptors, it is
// syscall.EMFILE.
//
// Implements: libbpf_probe_bpf_map_type
func BPFMapTypeIsSupported(mapType MapType) (bool, error) {
	return probe(fmt.Sprintf("probe map type %v (%[1]d)", mapType), func() (bool, error) {
		result, errno := C.libbpf_probe_bpf_map_type(C.enum_bpf_map_type(mapType), nil)
		return probeResult(result, errno, []capability{unix.CAP_BPF, unix.CAP_NET_ADMIN})
	})
}

// BPFHelperIsSupported reports whether programs of a type can call a helper function on the running kernel, by loading
// one that does. If the thread lacks the rights for that, the error is syscall.EPERM (errors.Is); if the process lacks
// descriptors, it is syscall.EMFILE. libbpf can't probe tracing, extension, LSM and struct_ops programs: the error is
// errors.ErrUnsupported. The kernel hides some functions from threads without CAP_PERFMON or CAP_SYS_ADMIN; for such a
// thread, the result is false.
//
// Implements: libbpf_probe_bpf_helper
func BPFHelperIsSupported(progType BPFProgType, funcID BPFFunc) (bool, error) {
	return probe(fmt.Sprintf("probe helper function %v (%[1]d) of program type %[2]v (%[2]d)", funcID, progType), func() (bool, error) {
		result, errno := C.libbpf_probe_bpf_helper(C.enum_bpf_prog_type(progType), C.enum_bpf_func_id(funcID), nil)
		if result == 1 && errno != nil {
			// The kernel refused the program without naming the function, perhaps before it checked the call.
			return probeProgramType(progType)
		}
		if missing := effectiveCapabilities().lacking([]capability{unix.CAP_BPF}); result == 0 && len(missing) != 0 {
			// The verifier hides most functions from a thread without CAP_BPF, if the thread may load programs at all.
			errno = syscall.EPERM
		}
		return probeResult(result, errno, capabilitiesAfterEPERM(progType))
	})
}

func probe(what string, call func() (bool, error)) (supported bool, err error) {
	err = watched(what, func() error {
		supported, err = call()
		return err
	})
	return supported, err
}

// probeResult converts the result and errno of a libbpf probe (libbpf_probes.c of 1.7.0). libbpf's result is 0
// whenever the kernel refuses. If the refusal is due to the thread's missing capabilities or to a transient state,
// probeResult returns an error. EPERM although the thread has the needed capabilities means that the kernel, by its
// build or configuration, lacks the feature.
func probeResult(result C.int, errno error, needed []capability) (bool, error) {
	if result > 0 {
		return true, nil
	}
	no := codeOf(result)
	switch {
	case no != nil:
		errno = no
	case transient(errno):
		no = errno
	case errno == syscall.EPERM && countsLockedMemory():
		no = fmt.Errorf("the limit of locked memory may be too low: %w", errno)
	}
	if missing := effectiveCapabilities().lacking(needed); errno == syscall.EPERM && len(missing) != 0 {
		no = fmt.Errorf("the thread does not have %s: %w", namesOf(missing), errno)
	}
	return false, no
}

// libbpf (feat_supported() in features.c of 1.7.0) probes a kernel feature when it first needs to know, and caches the
// result for the whole process. If a probe fails for want of a descriptor or a right, libbpf takes the feature for
// missing from then on. So the following functions refuse a call, or skip a probe, if the probes of libbpf might fail
// for such a reason.

// loadDescriptors is the number of descriptors that a load needs besides those of the programs: for the BTF, a BPF
// token and the token's file system, and temporarily two for a probe and one that libbpf moves away from the standard
// streams.
const loadDescriptors = 6

// checkLoad returns an error if the thread lacks the rights or the process lacks the descriptors to load the object.
func (o *object) checkLoad() error {
	descriptors := loadDescriptors
	if C.GOLIBBPF_MAPS_HAVE_DESCRIPTORS == 0 {
		for c := C.bpf_object__next_map(o.c, nil); c != nil; c = C.bpf_object__next_map(o.c, c) {
			descriptors++
		}
	}
	mayHaveToken, rights := !inInitialUserNamespace(), effectiveCapabilities()
	for c := range o.programs() {
		if !C.bpf_program__autoload(c) {
			continue
		}
		descriptors++
		progType := BPFProgType(C.bpf_program__type(c))
		if missing := rights.lacking(capabilitiesFor(progType)); len(missing) != 0 && !mayHaveToken {
			return fmt.Errorf("program %q of type %v needs %s, which the thread does not have: %w",
				C.GoString(C.bpf_program__name(c)), progType, namesOf(missing), syscall.EPERM)
		}
	}
	return checkDescriptors(descriptors)
}

// programs iterates over the object's programs.
func (o *object) programs() iter.Seq[*C.struct_bpf_program] {
	return func(yield func(*C.struct_bpf_program) bool) {
		for c := C.bpf_object__next_program(o.c, nil); c != nil && yield(c); {
			c = C.bpf_object__next_program(o.c, c)
		}
	}
}

// checkDescriptors returns an error unless the process can open n more descriptors.
func checkDescriptors(n int) error {
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for range n {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			var limit unix.Rlimit
			_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
			return fmt.Errorf("it needs %d descriptors, %d are free, the process's limit (RLIMIT_NOFILE) is %d: %w", n, len(fds), limit.Cur, err)
		}
		fds = append(fds, fd)
	}
	return nil
}

// perfLinkProbed is true once libbpf has probed whether the kernel has links of perf events.
var perfLinkProbed atomic.Bool

// probePerfLink makes libbpf probe links of perf events after the load of a program that may need them. The thread has
// the rights for the probe now, and may give them up before it attaches.
func (o *object) probePerfLink() {
	if perfLinkProbed.Load() {
		return
	}
	for c := range o.programs() {
		switch BPFProgType(C.bpf_program__type(c)) {
		case BPFProgTypeKprobe, BPFProgTypeTracepoint, BPFProgTypePerfEvent:
			if C.bpf_program__fd(c) >= 0 {
				perfLinkProbed.Store(bool(C.golibbpf_probe_perf_link(c)))
				return
			}
		}
	}
}

// attachDescriptors is the number of descriptors that the probes need that libbpf runs at an attachment, not at the
// load.
const attachDescriptors = 3

// checkAttach returns an error if the probes would fail that libbpf runs at the first attachment to a system call or a
// static tracepoint (bpf_program__attach_ksyscall(), usdt_manager_new() of 1.7.0). Both probes need descriptors. The
// one for system calls also needs CAP_PERFMON, as the attachment itself does.
func checkAttach(toSystemCall bool) error {
	if missing := effectiveCapabilities().lacking([]capability{unix.CAP_PERFMON}); toSystemCall && inInitialUserNamespace() && len(missing) != 0 {
		return fmt.Errorf("the thread does not have %s: %w", namesOf(missing), syscall.EPERM)
	}
	return checkDescriptors(attachDescriptors)
}

// mapNamesAllowed is true once libbpf may probe whether the kernel has map names.
var mapNamesAllowed atomic.Bool

// mayNameMaps reports whether libbpf may probe map names: the probe needs a thread that can load a program.
func mayNameMaps() bool {
	if mapNamesAllowed.Load() {
		return true
	}
	if C.libbpf_probe_bpf_prog_type(C.BPF_PROG_TYPE_SOCKET_FILTER, nil) != 1 {
		return false
	}
	mapNamesAllowed.Store(true)
	return true
}

// kernelBefore reports whether the running kernel is older than a version. If the kernel's version is unknown, it
// returns false.
func kernelBefore(major, minor int) bool {
	version := kernelVersion()
	return version[0] < major || version[0] == major && version[1] < minor
}

var kernelVersion = sync.OnceValue(func() (version [2]int) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return [2]int{1 << 16}
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &version[0], &version[1]); err != nil {
		return [2]int{1 << 16}
	}
	return version
})
