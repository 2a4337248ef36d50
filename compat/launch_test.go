package compat

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launchArg as the first argument makes the test binary a launcher. An errno, a program and its arguments follow.
const launchArg = "launch"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == launchArg {
		err := launch(os.Args[2], os.Args[3:])
		fmt.Fprintln(os.Stderr, "launch:", err)
		os.Exit(exitSetup)
	}
	os.Exit(m.Run())
}

// launch executes a program in its own network namespace. When the program raises the limit of locked memory, the call
// changes nothing and returns the errno; 0 means success. The release can't open an object if raising the limit fails,
// as in most containers.
func launch(errno string, command []string) error {
	runtime.LockOSThread()
	answer, err := strconv.ParseUint(errno, 10, 16)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("set the loopback interface up: %w", err)
	}
	if err := answerMemlock(uint32(answer)); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return syscall.Exec(command[0], command, os.Environ())
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// answerMemlock installs a seccomp filter in this thread that answers prlimit64(_, RLIMIT_MEMLOCK, ...) with an errno.
// The offsets are those of fields in struct seccomp_data, on a little-endian machine.
func answerMemlock(errno uint32) error {
	const (
		numberOffset = 0
		secondOffset = 24
	)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	skipUnless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: value}
	}
	answer := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	filter := []unix.SockFilter{
		load(numberOffset),
		skipUnless(unix.SYS_PRLIMIT64, 3),
		load(secondOffset),
		skipUnless(unix.RLIMIT_MEMLOCK, 1),
		answer(unix.SECCOMP_RET_ERRNO | errno),
		answer(unix.SECCOMP_RET_ALLOW),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
