package examples

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asProgram is an environment variable. If it is set, the test binary runs as the program that it tests.
const asProgram = "LIBBPFGO_EXAMPLE"

// Main runs the tests of a program. In the processes that the tests start, it runs the program's function main instead.
// It is called by TestMain.
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// Run runs the program to its end and returns its exit code and output. The code is -1 if a signal killed it.
func Run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := newProgram(t, args)
	var out bytes.Buffer
	p.Stdout = &out
	code = p.run(t)
	return code, out.String(), p.stderr.String()
}

// TestProgram tests the flags, signals, output and rights of a program. With args, the program must print at least one
// line per second, and a summary at its end that matches the regular expression.
func TestProgram(t *testing.T, summary *regexp.Regexp, args ...string) {
	for name, wrong := range map[string][]string{
		"unknown flag":      {"-unknown"},
		"negative duration": {"-duration", "-1s"},
		"no duration":       {"-duration", "x"},
	} {
		if code, stdout, stderr := Run(t, append(wrong, args...)...); code != 2 || stdout != "" || !strings.Contains(stderr, "-duration") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("BPF programs can be loaded by root only: run as root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skipf("the kernel's BTF is needed: %v", err)
	}
	makeEvents(t)

	t.Run("duration", func(t *testing.T) {
		code, stdout, stderr := Run(t, append([]string{"-duration", "1100ms"}, args...)...)
		if code != 0 || strings.Count(stdout, "\n") < 2 || !summary.MatchString(stderr) {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
	})
	t.Run("full disk", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		p := newProgram(t, args)
		p.Stdout = full
		if code := p.run(t); code != 1 || !strings.Contains(p.stderr.String(), syscall.ENOSPC.Error()) {
			t.Errorf("exit code %d\n%s", code, p.stderr)
		}
	})
	t.Run("closed pipe", func(t *testing.T) {
		p := newProgram(t, args)
		stdout := p.start(t)
		readLines(t, stdout, 1)
		stdout.Close()
		p.wait(t)
		if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGPIPE || p.stderr.Len() > 0 {
			t.Errorf("%v\n%s", p.ProcessState, p.stderr)
		}
	})
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			p := newProgram(t, args)
			stdout := p.start(t)
			readLines(t, stdout, 2) // a head, and an event
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(t); code != 0 || !summary.MatchString(p.stderr.String()) {
				t.Errorf("exit code %d\n%s", code, p.stderr)
			}
		})
	}
	t.Run("nobody reads", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		size, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		p := newProgram(t, args)
		p.Stdout = w
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			// The program is blocked by the full pipe then. The first signal asks it to end, the second one kills it.
			time.Sleep(1500 * time.Millisecond)
			for p.Process.Signal(unix.SIGTERM) == nil {
				time.Sleep(100 * time.Millisecond)
			}
		}()
		p.wait(t)
	})
	t.Run("rights", func(t *testing.T) {
		args := append([]string{"-duration", "1100ms"}, args...)
		p := newProgram(t, args).withRights(t, unix.CAP_BPF, unix.CAP_PERFMON)
		if code := p.run(t); code != 0 || !summary.MatchString(p.stderr.String()) {
			t.Errorf("with CAP_BPF and CAP_PERFMON: exit code %d\n%s", code, p.stderr)
		}
		p = newProgram(t, args).withRights(t, unix.CAP_BPF)
		if code := p.run(t); code != 1 || !strings.Contains(p.stderr.String(), "CAP_PERFMON") {
			t.Errorf("with CAP_BPF alone: exit code %d\n%s", code, p.stderr)
		}
	})
}

// makeEvents executes a program repeatedly until the test ends.
func makeEvents(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := exec.Command("true").Run(); err != nil {
				ended <- err
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		ended <- nil
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func readLines(t *testing.T, r io.Reader, n int) {
	t.Helper()
	lines := bufio.NewReader(r)
	for i := range n {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("read line %d: %v", i+1, err)
		}
	}
}

// A program is a process of the tested program.
type program struct {
	*exec.Cmd
	stderr *bytes.Buffer
}

func newProgram(t *testing.T, args []string) *program {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A program that doesn't end fails the test.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	p := &program{exec.CommandContext(ctx, executable, args...), new(bytes.Buffer)}
	p.Env = append(os.Environ(), asProgram+"=yes")
	p.Stderr = p.stderr
	return p
}

// withRights makes the program run as an ordinary user with these capabilities. It copies the binary to a folder that
// this user can read, unlike the folder of go test.
func (p *program) withRights(t *testing.T, capabilities ...uintptr) *program {
	t.Helper()
	dir, err := os.MkdirTemp("", "libbpfgo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	p.Path = filepath.Join(dir, "program")
	// Don't let another goroutine fork now: until its child executes a program, it would have the file open for writing,
	// and executing the file would fail with ETXTBSY.
	syscall.ForkLock.RLock()
	err = os.WriteFile(p.Path, binary, 0o755)
	syscall.ForkLock.RUnlock()
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	p.Dir = dir
	p.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: capabilities,
	}
	return p
}

// start starts the program with its output in a pipe, and returns the end to read from.
func (p *program) start(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p.Stdout = w
	err = p.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *program) run(t *testing.T) int {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p.wait(t)
}

// wait waits for the program to end and returns its exit code.
func (p *program) wait(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() && status.Signal() == unix.SIGKILL {
		t.Fatalf("the program doesn't end\n%s", p.stderr)
	}
	return p.ProcessState.ExitCode()
}
