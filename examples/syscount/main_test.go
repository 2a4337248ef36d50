package main

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/internal/examples"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { examples.Main(m, main) }

func needUserRing(t *testing.T) {
	t.Helper()
	if ok, err := bpf.BPFMapTypeIsSupported(bpf.MapTypeUserRingbuf); os.Geteuid() == 0 && err == nil && !ok {
		t.Skip("the kernel has no user ring buffers: Linux 6.1 is needed")
	}
}

func TestProgram(t *testing.T) {
	needUserRing(t)
	examples.TestProgram(t, regexp.MustCompile(`(?m)^counted [1-9]\d* system calls of 1 processes$`), strconv.Itoa(os.Getpid()))
}

func TestRefusesWhatIsNoProcess(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for pid, want := range map[string]string{
		strconv.Itoa(gone.Process.Pid): unix.ESRCH.Error(),
		"x":                            "no id of a process",
		"":                             "no id of a process",
		"0":                            "no id of a process",
		"+1":                           "no id of a process",
		"2147483648":                   "no id of a process",
		"4294967297":                   "no id of a process",
		"18446744073709551617":         "no id of a process",
	} {
		if code, stdout, stderr := examples.Run(t, pid); code != 1 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d\n%s%s", pid, code, stdout, stderr)
		}
	}
	if code, _, stderr := examples.Run(t, "--", "-1"); code != 1 || !strings.Contains(stderr, "no id of a process") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// A process that was typed and can't be counted is dropped, and the others are still counted.
func TestAddsNoProcessWithoutRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("BPF programs can be loaded by root only: run as root")
	}
	needUserRing(t)
	module, err := bpf.NewModuleFromBuffer(object, "syscount")
	if err != nil {
		t.Fatal(err)
	}
	defer module.Close()
	c := new(counter)
	if err := c.start(module); err != nil {
		t.Fatal(err)
	}
	// No process has these ids.
	for i := range c.counts.MaxEntries() {
		key := binary.NativeEndian.AppendUint32(nil, 1<<31+i)
		if err := c.counts.UpdateElem(key, make([]byte, 8), bpf.MapFlagUpdateAny); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.add(strconv.Itoa(os.Getpid())); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error is %v", err)
	}
	if err := c.show(); err != nil || c.named != 0 {
		t.Errorf("%d processes are named, error is %v", c.named, err)
	}
}
