package main

import (
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-36717feb/libbpfgo/internal/examples"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { examples.Main(m, main) }

func TestProgram(t *testing.T) {
	if code, _, stderr := examples.Run(t, "surplus"); code != 2 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	examples.TestProgram(t, regexp.MustCompile(`(?m)^saw [1-9]\d* events, the kernel dropped 0$`))
}

// Without /proc and /sys, in an empty root folder, checkRights still returns a clear error.
func TestCheckRightsWithoutProc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skipf("the kernel's BTF is needed: %v", err)
	}
	if err := checkRights(); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	done := make(chan [2]error)
	go func() {
		// Never unlocked, so that the thread with the changed root ends with the goroutine.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chroot(root)
		}
		done <- [2]error{err, checkRights()}
	}()
	errs := <-done
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	if err := errs[1]; err == nil || !strings.Contains(err.Error(), "BTF") {
		t.Errorf("without /proc and /sys: %v", err)
	}
}
