package linktest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A world is what a command finds on the machine. Each command runs in a mount namespace of its own.
type world struct {
	hidden    bool   // whether the system's libbpf is out of reach
	installed string // what is mounted at /usr/local; empty for nothing
}

// These variables make the test binary run a command in a world.
const (
	asWorld   = "LINKTEST_WORLD" // an empty folder, to hide others with
	hide      = "LINKTEST_HIDE"
	installed = "LINKTEST_INSTALLED"
)

// home is the home folder of all commands.
var home string

func TestMain(m *testing.M) {
	empty, ok := os.LookupEnv(asWorld)
	if !ok {
		os.Exit(runTests(m))
	}
	code, err := enter(empty, os.Getenv(hide) != "", os.Getenv(installed), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "linktest:", err)
		code = 125
	}
	os.Exit(code)
}

func runTests(m *testing.M) int {
	var err error
	if home, err = os.MkdirTemp("", "linktest"); err != nil {
		fmt.Fprintln(os.Stderr, "linktest:", err)
		return 1
	}
	defer os.RemoveAll(home)
	return m.Run()
}

// enter makes a world of this process's mount namespace, and returns the exit code of the command that it runs there.
func enter(empty string, hidden bool, local string, args []string) (code int, err error) {
	for _, name := range []string{asWorld, hide, installed} {
		os.Unsetenv(name)
	}
	// In a chroot this can't be done, as / is no mount point there: what is mounted is unmounted in any case.
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil && !errors.Is(err, syscall.EINVAL) {
		return 0, fmt.Errorf("make mounts private: %w", err)
	}
	over := make(map[string]string)
	if hidden {
		over["/usr/include/bpf"] = empty
		for _, pattern := range []string{"libbpf.a", "libbpf.so.*.*", "pkgconfig/libbpf.pc"} {
			files, err := filepath.Glob("/usr/lib/*/" + pattern)
			if err != nil {
				return 0, err
			}
			for _, file := range files {
				over[file] = "/dev/null"
			}
		}
	}
	if local != "" {
		over["/usr/local/include"] = filepath.Join(local, "include")
		over["/usr/local/lib"] = filepath.Join(local, "lib")
	}
	for path, source := range over {
		if err := syscall.Mount(source, path, "", syscall.MS_BIND, ""); err != nil {
			return 0, fmt.Errorf("mount %s at %s: %w", source, path, err)
		}
		defer func() { err = errors.Join(err, syscall.Unmount(path, 0)) }()
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// run runs a command in a folder, with nothing in its environment that could help it to find libbpf. It returns what
// the command printed, and an error with it if that fails.
func (w world) run(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + filepath.Join(goEnv["GOROOT"], "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home, "GOTOOLCHAIN=local", asWorld + "=" + t.TempDir(), installed + "=" + w.installed,
	}, env...)
	for _, name := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB"} {
		cmd.Env = append(cmd.Env, name+"="+goEnv[name])
	}
	if w.hidden {
		cmd.Env = append(cmd.Env, hide+"=yes")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(slices.Concat(env, args), " "), err, out)
	}
	return string(out), err
}

// must is run for a command that has to succeed.
func (w world) must(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	out, err := w.run(t, dir, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fails is run for a command that has to fail, with the given words in its first error and, if it is to have one error
// only, in no other.
func (w world) fails(t *testing.T, words string, only bool, dir string, env []string, args ...string) {
	t.Helper()
	out, err := w.run(t, dir, env, args...)
	if err == nil {
		t.Errorf("no error: %s", strings.Join(slices.Concat(env, args), " "))
		return
	}
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "included from") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	// The C compiler shows the place below its error.
	if messages := slices.Clone(lines); strings.Contains(out, "error:") {
		lines = slices.DeleteFunc(messages, func(line string) bool { return !strings.Contains(line, "error:") })
	}
	if len(lines) == 0 || !strings.Contains(lines[0], words) || only && len(lines) > 1 {
		t.Errorf("the error isn't %q: %v", words, err)
		return
	}
	t.Log(lines[0])
}
