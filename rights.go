package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A capability is a right of a thread that the kernel may require for loading a program.
type capability int

func (c capability) String() string {
	switch c {
	case unix.CAP_BPF:
		return "CAP_BPF"
	case unix.CAP_PERFMON:
		return "CAP_PERFMON"
	case unix.CAP_NET_ADMIN:
		return "CAP_NET_ADMIN"
	}
	return fmt.Sprintf("capability %d", int(c))
}

// The program types that need more than CAP_BPF. BPFProgTypeExt is in both lists: it may extend programs of either.
var (
	perfmonTypes = []BPFProgType{
		BPFProgTypeKprobe, BPFProgTypeTracepoint, BPFProgTypePerfEvent, BPFProgTypeRawTracepoint,
		BPFProgTypeRawTracepointWritable, BPFProgTypeTracing, BPFProgTypeLsm, BPFProgTypeStructOps, BPFProgTypeExt,
	}
	netAdminTypes = []BPFProgType{
		BPFProgTypeSchedCls, BPFProgTypeSchedAct, BPFProgTypeXdp, BPFProgTypeLwtIn, BPFProgTypeLwtOut, BPFProgTypeLwtXmit,
		BPFProgTypeLwtSeg6Local, BPFProgTypeSkSkb, BPFProgTypeSkMsg, BPFProgTypeFlowDissector, BPFProgTypeCgroupDevice,
		BPFProgTypeCgroupSock, BPFProgTypeCgroupSockAddr, BPFProgTypeCgroupSockopt, BPFProgTypeCgroupSysctl,
		BPFProgTypeSockOps, BPFProgTypeExt, BPFProgTypeNetfilter,
	}
)

// capabilitiesFor returns the capabilities that Linux 5.8 and newer require to load a program of a type. CAP_SYS_ADMIN
// substitutes for all of them, and is what older kernels require. A program that needs no capability may still be
// refused because of kernel.unprivileged_bpf_disabled.
func capabilitiesFor(progType BPFProgType) []capability {
	if progType == BPFProgTypeSocketFilter || progType == BPFProgTypeCgroupSkb {
		return nil
	}
	list := []capability{unix.CAP_BPF}
	if slices.Contains(perfmonTypes, progType) {
		list = append(list, unix.CAP_PERFMON)
	}
	if slices.Contains(netAdminTypes, progType) || progType == BPFProgTypeLircMode2 && kernelBefore(6, 4) {
		list = append(list, unix.CAP_NET_ADMIN)
	}
	return list
}

// capabilitiesAfterEPERM is capabilitiesFor after the kernel has refused a program of the type. For types that need no
// capability, it returns CAP_BPF: kernel.unprivileged_bpf_disabled is not 0 then.
func capabilitiesAfterEPERM(progType BPFProgType) []capability {
	if list := capabilitiesFor(progType); len(list) != 0 {
		return list
	}
	return []capability{unix.CAP_BPF}
}

// A capabilitySet has a bit for each capability.
type capabilitySet uint64

// effectiveCapabilities returns the thread's effective capabilities in the initial user namespace, where the kernel
// requires them. In other user namespaces the set is empty, though a BPF token may substitute for it.
func effectiveCapabilities() capabilitySet {
	if !inInitialUserNamespace() {
		return 0
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var halves [2]unix.CapUserData
	if err := unix.Capget(&header, &halves[0]); err != nil {
		return 0
	}
	return capabilitySet(halves[0].Effective) | capabilitySet(halves[1].Effective)<<32
}

// lacking returns the capabilities of the list that are not in the set.
func (s capabilitySet) lacking(capabilities []capability) []capability {
	has := func(c capability) bool { return s&(1<<c) != 0 }
	if has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(capabilities), has)
}

// initialUserNamespace is the inode of the user namespace that the system starts with.
const initialUserNamespace = 0xEFFFFFFD

// inInitialUserNamespace reports whether the thread is in the initial user namespace. It also returns true if /proc
// isn't mounted or the kernel has no user namespaces.
func inInitialUserNamespace() bool {
	var stat unix.Stat_t
	err := unix.Stat("/proc/thread-self/ns/user", &stat)
	return err != nil || stat.Ino == initialUserNamespace
}

// namesOf returns the names of capabilities or, before Linux 5.8, CAP_SYS_ADMIN.
func namesOf(capabilities []capability) string {
	if kernelBefore(5, 8) {
		return "CAP_SYS_ADMIN"
	}
	var names []string
	for _, c := range capabilities {
		names = append(names, c.String())
	}
	return strings.Join(names, " and ")
}

// countsLockedMemory reports whether the kernel charges maps and programs to the limit of locked memory.
func countsLockedMemory() bool { return kernelBefore(5, 11) }

// leaveMemlockLimit keeps libbpf from raising the limit of locked memory where the kernel doesn't charge it. libbpf
// finds that out by loading a program (probe_memcg_account() in bpf.c of 1.7.0), and raises the limit if the thread
// may not load one.
var leaveMemlockLimit = sync.OnceFunc(func() {
	if !countsLockedMemory() {
		C.golibbpf_leave_memlock_limit()
	}
})
