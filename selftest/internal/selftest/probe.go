package selftest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// Cookie is the cookie that the programs compare theirs with (COOKIE in include/selftest.h).
const Cookie = 0x1234567812345678

// KernelFunction returns the address of a kernel function.
func KernelFunction(name string) (uint64, error) {
	symbols, err := os.Open("/proc/kallsyms")
	if err != nil {
		return 0, err
	}
	defer symbols.Close()
	for lines := bufio.NewScanner(symbols); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 3 && fields[2] == name {
			return strconv.ParseUint(fields[0], 16, 64)
		}
	}
	return 0, fmt.Errorf("the kernel has no function %s", name)
}

// SyscallFunction returns the name of the kernel function that implements a system call.
func SyscallFunction(call string) string {
	prefix := map[string]string{"amd64": "__x64_sys_", "arm64": "__arm64_sys_"}
	return prefix[runtime.GOARCH] + call
}

// Clock opens a perf event that samples this thread and calls attach with it. If attach succeeds, the link owns the
// event.
func Clock(attach func(fd int) (*bpf.BPFLink, error)) (*bpf.BPFLink, error) {
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: 100_000, // nanoseconds
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	link, err := attach(fd)
	if err != nil {
		unix.Close(fd)
	}
	return link, err
}

// Work keeps the CPU busy for 50 ms: 500 samples of [Clock], if nothing else runs.
func Work() error {
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
	}
	return nil
}

// MadeBy checks that a probe was attached in the given mode. link and err are the results of the Attach method, which
// MadeBy returns unless the check fails. An error of the check itself wraps no errno, so that no refusal matches it.
func MadeBy(mode bpf.ProbeAttachMode, link *bpf.BPFLink, err error) (*bpf.BPFLink, error) {
	if err != nil {
		return nil, err
	}
	kind, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", link.FileDescriptor()))
	if err != nil {
		return nil, fmt.Errorf("look at the probe: %v", err)
	}
	event, err := inTracefs()
	if err != nil {
		return nil, fmt.Errorf("look for the probe's event: %v", err)
	}
	if strings.Contains(kind, "perf_event") != (mode != bpf.ProbeAttachModeLink) || event != (mode == bpf.ProbeAttachModeLegacy) {
		return nil, fmt.Errorf("the probe is a %s; that it is an event in tracefs is %t", kind, event)
	}
	return link, nil
}

// inTracefs reports whether libbpf has created a probe event for this process in tracefs.
func inTracefs() (bool, error) {
	for _, name := range []string{"kprobe_events", "uprobe_events"} {
		events, err := os.ReadFile("/sys/kernel/tracing/" + name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		if strings.Contains(string(events), fmt.Sprintf("/libbpf_%d_", os.Getpid())) {
			return true, nil
		}
	}
	return false, nil
}
