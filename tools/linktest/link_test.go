// Package linktest links throw-away modules in all the ways that the README names, and runs what came out. It also runs
// the library's own tests with the libbpf of the system.
package linktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const (
	here     = "github.com/seed-36717feb/libbpfgo"
	libbpfgo = "github.com/aquasecurity/libbpfgo"
)

var (
	top, _ = filepath.Abs("../..")
	goEnv  = make(map[string]string)

	alone  = world{hidden: true} // with no libbpf of the system's
	system world

	installing sync.Mutex
)

// prepare skips the test if it can't hide the system's libbpf, and asks go for what commands need in a world.
func prepare(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("hiding the system's libbpf and loading programs need root")
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := probe.Run(); err != nil {
		t.Skipf("hiding the system's libbpf needs a mount namespace: %v", err)
	}
	for _, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		goEnv[name] = strings.TrimSpace(string(out))
	}
	// With the modules here and go.sum copied, no test needs the network.
	download := exec.Command("go", "mod", "download")
	download.Dir = top
	if out, err := download.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestLink(t *testing.T) {
	prepare(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a: after make, no environment variable is needed", afterMake},
		{"b: replaces github.com/aquasecurity/libbpfgo", inThePlaceOfLibbpfgo},
		{"c: a static program runs in an empty root", staticInAnEmptyRoot},
		{"d: without build, the system's libbpf is linked", withTheSystemsLibbpf},
		{"e: tag libbpf_external links what the caller names", external},
		{"f: vendored, an installed libbpf is found, and goes before the system's", vendored},
		{"g: without cgo or Linux, there is one error", withoutCgo},
		{"h: without libbpf, the error says what to do", withoutLibbpf},
		{"i: C is hardened", hardened},
		{"j: on a 32-bit processor, there is one error", on32Bits},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

// program makes a module in a new folder that imports the library by a path and replaces that by a checkout.
func program(t *testing.T, path, library string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	source := read(t, "testdata/main.go")
	write(t, filepath.Join(dir, "main.go"), strings.ReplaceAll(source, here, path))
	write(t, filepath.Join(dir, "object.bpf.o"), read(t, filepath.Join(top, "testdata/main.bpf.o")))
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(top, "go.sum")))
	write(t, filepath.Join(dir, "go.mod"), "module example.com/program\n\ngo 1.24\n\nrequire "+path+
		" v0.0.0\n\nreplace "+path+" => \""+library+"\"\n")
	alone.must(t, dir, nil, "go", "mod", "tidy")
	return dir
}

// copyCheckout copies the checkout and its BPF objects, without build/, into a new folder.
func copyCheckout(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains([]string{".git", "libbpf", "build"}, entry.Name()) {
			copyTo(t, dir, filepath.Join(top, entry.Name()))
		}
	}
	return dir
}

func copyTo(t *testing.T, dir string, paths ...string) {
	t.Helper()
	if out, err := exec.Command("cp", append(append([]string{"-r"}, paths...), dir)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// Packages that use the library are tested. make test runs the library's own tests in the checkout itself.
func afterMake(t *testing.T) {
	dir := copyCheckout(t)
	write(t, filepath.Join(dir, "build/empty"), "")
	copyTo(t, filepath.Join(dir, "build"), filepath.Join(top, "build/include"), filepath.Join(top, "build/lib"))
	alone.must(t, dir, nil, "go", "build", "./...")
	t.Log(alone.must(t, dir, nil, "go", "test", "-count=1", "-vet=off", "./examples/execsnoop", "./examples/syscount", "./ringbuf"))
}

func inThePlaceOfLibbpfgo(t *testing.T) {
	dir := program(t, libbpfgo, top)
	alone.must(t, dir, nil, "go", "build", "-o", "program", ".")
	t.Log(alone.must(t, dir, nil, "./program"))
}

func staticInAnEmptyRoot(t *testing.T) {
	out, err := exec.Command(filepath.Join(top, "scripts/static-flags")).Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := strings.TrimSpace(string(out))
	dir := program(t, here, top)
	write(t, filepath.Join(dir, "root/empty"), "")
	run := func() {
		if headers := alone.must(t, dir, nil, "readelf", "-l", "root/program"); strings.Contains(headers, "INTERP") {
			t.Fatalf("not static:\n%s", headers)
		}
		t.Log(alone.must(t, dir, nil, "chroot", "root", "/program"))
	}
	build := []string{"go", "build", "-tags", "netgo,osusergo", "-o", "root/program", "-ldflags"}
	alone.must(t, dir, nil, append(build, `-extldflags "`+strings.Replace(flags, "-static-pie", "-static", 1)+`"`, ".")...)
	run()
	if !strings.Contains(flags, "-static-pie") {
		return
	}
	alone.must(t, dir, nil, append(build, `-extldflags "`+flags+`"`, "-buildmode=pie", ".")...)
	// It is loaded at another address each time.
	if header := alone.must(t, dir, nil, "readelf", "-h", "root/program"); !regexp.MustCompile(`Type: .*DYN`).MatchString(header) {
		t.Errorf("not position-independent:\n%s", header)
	}
	if dynamic := alone.must(t, dir, nil, "readelf", "-d", "root/program"); strings.Contains(dynamic, "TEXTREL") {
		t.Errorf("not position-independent:\n%s", dynamic)
	}
	run()
}

func withTheSystemsLibbpf(t *testing.T) {
	dir := program(t, here, copyCheckout(t))
	system.must(t, dir, nil, "go", "build", "-o", "program", ".")
	if libraries := system.must(t, dir, nil, "ldd", "program"); !strings.Contains(libraries, "libbpf.so") {
		t.Errorf("linked with\n%s", libraries)
	}
	files, err := filepath.Glob("/usr/lib/*/pkgconfig/libbpf.pc")
	if err != nil || len(files) != 1 {
		t.Fatalf("the system's libbpf is described by %v, %v", files, err)
	}
	wantVersion(t, system.must(t, dir, nil, "./program"), files[0])
}

// The library's own tests pass with the system's libbpf, too.
func TestSuiteWithTheSystemsLibbpf(t *testing.T) {
	prepare(t)
	t.Log(system.must(t, copyCheckout(t), nil, "go", "test", "-count=1", "-vet=off", "-timeout", "30m", "-short", "."))
}

// wantVersion compares the version that a program prints with that of a file for pkg-config.
func wantVersion(t *testing.T, output, file string) {
	t.Helper()
	version := regexp.MustCompile(`(?m)^Version: (\d+\.\d+)`).FindStringSubmatch(read(t, file))
	if version == nil || !slices.Contains(strings.Split(output, "\n"), "libbpf v"+version[1]) {
		t.Errorf("the version is not that of %s, %v:\n%s", file, version, output)
	}
	t.Log(output)
}

func external(t *testing.T) {
	library, own := copyCheckout(t), t.TempDir()
	copyTo(t, own, filepath.Join(top, "build/include"), filepath.Join(top, "build/lib/libbpf.a"))
	dir := program(t, here, library)
	if _, err := alone.run(t, dir, nil, "go", "build", "-o", "program", "."); err == nil {
		t.Fatal("a libbpf is in reach that shouldn't be")
	}
	// The program prints the library's version, not that of the headers.
	header := filepath.Join(own, "include/bpf/libbpf_version.h")
	minor := regexp.MustCompile(`(define LIBBPF_MINOR_VERSION) (.*)`)
	version := minor.FindStringSubmatch(read(t, header))
	if version == nil {
		t.Fatalf("%s has no version", header)
	}
	write(t, header, minor.ReplaceAllString(read(t, header), "$1 99"))
	env := []string{"CGO_CFLAGS=-I" + own + "/include", "CGO_LDFLAGS=" + own + "/libbpf.a -lelf -lz"}
	alone.must(t, dir, env, "go", "build", "-tags", "libbpf_external", "-o", "program", ".")
	output := alone.must(t, dir, nil, "./program")
	if want := "libbpf v1." + version[2]; !slices.Contains(strings.Split(output, "\n"), want) {
		t.Errorf("got %s, want %s", output, want)
	}
	t.Log(output)
}

// vendoredProgram makes a program that has the library in its vendor folder only.
func vendoredProgram(t *testing.T) (dir string) {
	t.Helper()
	library := copyCheckout(t)
	dir = program(t, libbpfgo, library)
	alone.must(t, dir, nil, "go", "mod", "vendor")
	if err := os.RemoveAll(library); err != nil {
		t.Fatal(err)
	}
	return dir
}

// makeInstall runs one of make's goals that install. They use the same folder in build/.
func makeInstall(t *testing.T, goal string, settings ...string) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	alone.must(t, top, nil, append([]string{"make", "--no-print-directory", goal}, settings...)...)
}

// A vendored copy has no build/: it finds what was installed, in /usr/local by itself. Compiling the library takes most
// of the time: worlds that differ only in what they link share what is compiled.
func vendored(t *testing.T) {
	prefix := t.TempDir()
	makeInstall(t, "install", "PREFIX="+prefix)
	// A package is made in one folder, and found in another.
	dest := t.TempDir()
	makeInstall(t, "install", "PREFIX=/usr", "DESTDIR="+dest)
	alone.must(t, top, nil, "diff", "-r", prefix+"/include", dest+"/usr/include")
	if !regexp.MustCompile(`(?m)^prefix=/usr$`).MatchString(read(t, dest+"/usr/lib/pkgconfig/libbpf.pc")) {
		t.Error("libbpf.pc names another prefix than /usr")
	}
	makeInstall(t, "uninstall", "PREFIX=/usr", "DESTDIR="+dest)
	if files := alone.must(t, dest, nil, "find", ".", "-type", "f"); files != "" {
		t.Errorf("uninstall leaves %s", files)
	}

	dir := vendoredProgram(t)
	alone.fails(t, "bpf/libbpf.h is missing", false, dir, nil, "go", "build", "-o", "program", ".")
	build := []string{"go", "build", "-o", "program", "."}
	run := func(w world, env ...string) {
		t.Helper()
		w.must(t, dir, env, build...)
		wantVersion(t, w.must(t, dir, nil, "./program"), prefix+"/lib/pkgconfig/libbpf.pc")
		if err := os.Remove(filepath.Join(dir, "program")); err != nil {
			t.Fatal(err)
		}
	}
	include, libs := "-I"+prefix+"/include", "-L"+prefix+"/lib"
	run(alone, "CGO_CFLAGS="+include, "CGO_LDFLAGS="+libs)
	if _, err := exec.LookPath("pkg-config"); err == nil {
		ask := func(args ...string) string {
			env := []string{"PKG_CONFIG_PATH=" + prefix + "/lib/pkgconfig"}
			return strings.TrimSpace(alone.must(t, dir, env, append(append([]string{"pkg-config"}, args...), "libbpf")...))
		}
		run(alone, "CGO_CFLAGS="+ask("--cflags"), "CGO_LDFLAGS="+ask("--static", "--libs"))
	}
	run(world{installed: prefix}) // the headers and the library beside the system's
	run(world{hidden: true, installed: prefix})
	// As programs that link libbpfgo's release do.
	archive := "CGO_LDFLAGS=-lelf -lz " + prefix + "/lib/libbpf.a"
	run(world{hidden: true, installed: prefix}, "CGO_CFLAGS="+include, archive)
	build = []string{"go", "build", "-tags", "libbpf_external", "-o", "program", "."}
	run(alone, "CGO_CFLAGS="+include, archive)
}

// A program for another system or without cgo has one error, which says so.
func withoutCgo(t *testing.T) {
	dir := program(t, here, top)
	write(t, filepath.Join(dir, "readers.go"), "package main\n\nimport (\n\t_ \""+here+"/perf\"\n\t_ \""+here+"/ringbuf\"\n)\n")
	for _, setting := range []string{"CGO_ENABLED=0", "GOOS=darwin", "GOOS=windows", "PATH=" + filepath.Join(goEnv["GOROOT"], "bin")} {
		env := []string{setting}
		alone.must(t, dir, env, "go", "list", "-deps", ".")
		const words = "libbpfgo needs Linux and cgo: set CGO_ENABLED=1 and CC"
		alone.fails(t, words, true, dir, env, "go", "build", "-o", "program", ".")
		alone.fails(t, words, true, dir, env, "go", "vet", ".")
	}
}

// A program for a 32-bit processor has one error, too. The compiler is this machine's, which compiles for 386 but has
// nothing to link with.
func on32Bits(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("compiling for 386 needs the C compiler of amd64")
	}
	dir, stubs := program(t, here, top), t.TempDir()
	write(t, filepath.Join(stubs, "gnu/stubs-32.h"), "")
	env := []string{"GOARCH=386", "CGO_ENABLED=1", "CC=gcc -m32 -nostdlib -Wl,--unresolved-symbols=ignore-all -I" + stubs +
		" -idirafter /usr/include/x86_64-linux-gnu"}
	alone.must(t, dir, env, "go", "list", "-deps", ".")
	alone.fails(t, "libbpfgo needs a 64-bit processor", true, dir, env, "go", "build", "-o", "program", ".")
	alone.fails(t, "libbpfgo needs a 64-bit processor", true, dir, env, "go", "vet", ".")
}

// Without libbpf, or with one that is too old, the first error says what can be done.
func withoutLibbpf(t *testing.T) {
	library := copyCheckout(t)
	dir := program(t, here, library)
	clang := os.Getenv("CLANG")
	if clang == "" {
		clang = "clang"
	}
	for _, words := range []string{"bpf/libbpf.h is missing: install libbpf-dev, or run make", "libbpf 1.1 or newer is needed: run make"} {
		for _, cc := range []string{"gcc", clang} {
			alone.fails(t, words, false, dir, []string{"CC=" + cc}, "go", "build", "-o", "program", ".")
		}
		write(t, filepath.Join(library, "build/include/bpf/libbpf.h"), "")
	}
}

// What the compiler can check in C, it does: in libbpf, and in the package's own C.
func hardened(t *testing.T) {
	dir := program(t, here, top)
	alone.must(t, dir, nil, "go", "build", "-o", "package.a", here)
	write(t, filepath.Join(dir, "objects/empty"), "")
	alone.must(t, filepath.Join(dir, "objects"), nil, "sh", "-ec", "ar x ../package.a; ar rc ../own.a ./*.o")
	for _, archive := range []string{filepath.Join(top, "build/lib/libbpf.a"), "own.a"} {
		symbols := alone.must(t, dir, nil, "sh", "-ec", `nm "$1" 2>/dev/null`, "sh", archive)
		for what, pattern := range map[string]string{"stack protector": ` U __stack_chk_fail\n`, "checked calls of the C library": ` U __.*_chk\n`} {
			if !regexp.MustCompile(pattern).MatchString(symbols) {
				t.Errorf("%s: no %s", archive, what)
			}
		}
	}
}
