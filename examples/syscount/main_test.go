package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/internal/examples"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { examples.Main(m, main) }

func TestProgram(t *testing.T) {
	if ok, err := bpf.BPFMapTypeIsSupported(bpf.MapTypeUserRingbuf); os.Geteuid() == 0 && err == nil && !ok {
		t.Skip("the kernel has no user ring buffers: Linux 6.1 is needed")
	}
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
