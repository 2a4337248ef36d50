package libbpfgo

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The program in the README builds, and runs with the rights that the README names.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	program, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("README.md has no Go program")
	}
	dir := publicDir(t)
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), source)
	// This test may itself be linked with something else.
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "CGO_") {
			build.Env = append(build.Env, entry)
		}
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	needTracefs(t)
	object, err := os.ReadFile("testdata/readme.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prog.bpf.o"), object, 0o644); err != nil {
		t.Fatal(err)
	}
	loading := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON}
	line := firstLine(t, dir, loading)
	if info, err := os.Stat(tracefs); err == nil && info.Mode().Perm() == 0o700 && !strings.Contains(line, "CAP_DAC_READ_SEARCH") {
		t.Errorf("without the right to read tracefs, the first line is %q", line)
	}
	line = firstLine(t, dir, append(loading, unix.CAP_DAC_READ_SEARCH))
	if _, record, _ := strings.Cut(strings.TrimSpace(line), " "); len(record) < 16 || strings.Trim(record[len(record)-16:], "0123456789abcdef") != "" {
		t.Errorf("with the README's capabilities, the first line is %q", line)
	}
}

// firstLine runs the program in dir as an ordinary user with these capabilities, and other programs for it to
// see, and returns the first line that it prints.
func firstLine(t *testing.T, dir string, capabilities []uintptr) string {
	t.Helper()
	cmd := exec.Command("./program")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: capabilities,
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stderr).ReadString('\n')
		lines <- line
	}()
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		select {
		case line := <-lines:
			return line
		case <-time.After(10 * time.Millisecond):
			if err := exec.Command("true").Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("the program prints nothing")
	return ""
}

// publicDir returns a new folder that all users may read.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "libbpfgo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
