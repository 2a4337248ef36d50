package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// guest is the main function of the machine's first process. It prepares the machine, runs the tests, prints their
// results, and switches the machine off.
func guest() {
	if err := prepare(); err != nil {
		fmt.Println("prepare:", err)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		fmt.Println(versionMark + versionOf(unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Version[:])))
	}
	tests, err := tests()
	if err != nil {
		fmt.Println(err)
	}
	names := make([]string, len(tests))
	for i, test := range tests {
		names[i] = test.name
	}
	fmt.Printf("\n%s%s\n", testsMark, strings.Join(names, " "))
	for _, test := range tests {
		for _, r := range test.try() {
			report(r)
		}
	}
	report(result{}) // marks the end: all tests have run
	// Wait until the console has sent everything, or the end would be lost when the machine goes off.
	if err := unix.IoctlSetInt(unix.Stdout, unix.TCSBRK, 1); err != nil {
		fmt.Println("wait for the console:", err)
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println(err)
	}
	select {}
}

// versionOf returns a kernel's version: the release (uname -r) and, in parentheses, the version of its Debian package,
// which is part of uname -v.
func versionOf(release, version string) string {
	_, debian, _ := strings.Cut(version, "Debian ")
	if fields := strings.Fields(debian); len(fields) > 0 {
		release += " (" + fields[0] + ")"
	}
	return release
}

func prepare() error {
	var errs []error
	for _, m := range []struct{ path, fstype string }{
		{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}, {"/tmp", "tmpfs"}, {"/sys/kernel/tracing", "tracefs"},
		{"/sys/fs/bpf", "bpf"}, {"/sys/kernel/security", "securityfs"}, {"/sys/fs/cgroup", "cgroup2"},
	} {
		if err := unix.Mount(m.fstype, m.path, m.fstype, 0, ""); err != nil && err != unix.EBUSY {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.path, err))
		}
	}
	errs = append(errs, up("lo"))
	// The modules' names sort in the order of loading.
	modules, err := filepath.Glob("/modules/*.ko")
	errs = append(errs, err)
	for _, path := range modules {
		if err := load(path); err != nil && err != unix.EEXIST {
			errs = append(errs, fmt.Errorf("load %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// up brings a network interface up.
func up(name string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.FinitModule(int(file.Fd()), "", 0)
}

// A test is a program and its arguments.
type test struct {
	name string
	path string
	args []string
}

// tests returns the selected tests: cases of the selftest and Go test programs.
func tests() (all []test, err error) {
	list, err := exec.Command(guestSelftest, "-list").Output()
	for line := range strings.Lines(string(list)) {
		if name, _, _ := strings.Cut(line, " "); chosen(name) {
			all = append(all, test{name, guestSelftest, []string{name}})
		}
	}
	programs, globErr := goPrograms(guestGoTests)
	for _, path := range programs {
		all = append(all, test{filepath.Base(path), path, goTestFlags()})
	}
	return all, errors.Join(err, globErr)
}

// try runs a test in its program's folder, where Go tests look for their data. It returns the test's result, followed
// by the results of the skipped tests within a Go test program.
func (t test) try() []result {
	r := result{Test: t.name, Code: -1}
	output, err := os.CreateTemp("", "output")
	if err != nil {
		r.Output = err.Error()
		return []result{r}
	}
	defer os.Remove(output.Name())
	defer output.Close()
	command := exec.Command(t.path, t.args...)
	command.Dir = filepath.Dir(t.path)
	command.Stdout, command.Stderr = output, output
	command.Env = []string{"HOME=/tmp", "TMPDIR=/tmp", "LIBBPFGO_EVENTS=100000", "SELFTEST_VM=1"}
	begin := time.Now()
	if err := command.Start(); err != nil {
		r.Output = err.Error()
		return []result{r}
	}
	limit := time.AfterFunc(15*time.Minute, func() { _ = command.Process.Kill() })
	err = command.Wait()
	limit.Stop()
	r.Seconds = time.Since(begin).Seconds()
	text, skips, readErr := read(t.path, output)
	if readErr == nil {
		r.Code = command.ProcessState.ExitCode()
	}
	r.Output = text
	if r.Code < 0 {
		r.Output += fmt.Sprintln(errors.Join(err, readErr))
	}
	return append([]result{r}, skips...)
}

// read returns the part of a program's output that its result keeps, and the results of the skipped tests within it.
func read(path string, output *os.File) (text string, skips []result, err error) {
	if _, err := output.Seek(0, io.SeekStart); err != nil {
		return "", nil, err
	}
	if isGoTest(path) {
		return summarize(filepath.Base(path), output)
	}
	info, err := output.Stat()
	if err != nil {
		return "", nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(output, max(0, info.Size()-testOutput), testOutput))
	return string(data), nil, err
}

// report prints a result for the host, on its own line.
func report(r result) {
	text, err := json.Marshal(r)
	if err != nil {
		text = []byte(err.Error())
	}
	fmt.Printf("\n%s%s\n", mark, text)
}
