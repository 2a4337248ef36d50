package libbpfgo

import (
	"bufio"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// libbpfFunctions returns the version of libbpf that brought each of its functions.
func libbpfFunctions(t *testing.T) (functions map[string][2]int, newest [2]int) {
	t.Helper()
	file, err := os.Open("build/src/libbpf/src/libbpf.map")
	if err != nil {
		t.Skipf("libbpf's source is needed (make): %v", err)
	}
	defer file.Close()
	functions = make(map[string][2]int)
	var version [2]int
	section := regexp.MustCompile(`^LIBBPF_(\d+)\.(\d+)\.\d+ \{`)
	name := regexp.MustCompile(`^\s+(\w+);`)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if m := section.FindStringSubmatch(lines.Text()); m != nil {
			version[0], _ = strconv.Atoi(m[1])
			version[1], _ = strconv.Atoi(m[2])
		} else if m := name.FindStringSubmatch(lines.Text()); m != nil {
			functions[m[1]] = version
		}
	}
	return functions, version
}

// packageFiles returns the package's files without its tests.
func packageFiles(t *testing.T) []*ast.File {
	t.Helper()
	return parseFiles(t, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
}

func parseFiles(t *testing.T, wanted func(name string) bool) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// What the comments say that a method implements is a function of libbpf's, and what is newer than
// libbpf 1.1 asks for the version that brought it.
func TestImplementsLines(t *testing.T) {
	functions, newest := libbpfFunctions(t)
	for _, file := range packageFiles(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			versions := askedVersions(f)
			for name, asked := range versions {
				if strings.ContainsAny(name, ". ") {
					continue // an option, or one way to use a function, which libbpf.map doesn't list
				}
				if asked[0] > newest[0] || asked[0] == newest[0] && asked[1] > newest[1] {
					continue // the libbpf in build/ is older than the function
				}
				if version := functions[name]; asked != version {
					t.Errorf("%s asks for libbpf %v for %q, which came with %v", f.Name.Name, asked, name, version)
				}
			}
			_, list, ok := strings.Cut(f.Doc.Text(), "Implements: ")
			if !ok {
				continue
			}
			for name := range strings.SplitSeq(strings.TrimSpace(list), ", ") {
				version, known := functions[name]
				_, asked := versions[name]
				if !known && !asked {
					t.Errorf("%s implements %q, which libbpf doesn't have", f.Name.Name, name)
				} else if (version[0] > 1 || version[0] == 1 && version[1] > 1) && !asked {
					t.Errorf("%s doesn't ask for libbpf %v, which %s needs", f.Name.Name, version, name)
				}
			}
		}
	}
}

// askedVersions returns the versions that a function's calls of needLibbpf ask for.
func askedVersions(f *ast.FuncDecl) map[string][2]int {
	asked := make(map[string][2]int)
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 3 {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "needLibbpf" {
			return true
		}
		var values [3]string
		for i, arg := range call.Args {
			if literal, ok := arg.(*ast.BasicLit); ok {
				values[i] = strings.Trim(literal.Value, `"`)
			}
		}
		major, _ := strconv.Atoi(values[0])
		minor, _ := strconv.Atoi(values[1])
		asked[values[2]] = [2]int{major, minor}
		return true
	})
	return asked
}

// The root package must be able to stand in for another one: it imports none of this module, and as go mod tidy
// reads the tests of what a program imports, they don't either.
func TestRootImportsNothingOfTheModule(t *testing.T) {
	for _, file := range parseFiles(t, func(string) bool { return true }) {
		for _, imported := range file.Imports {
			path, _ := strconv.Unquote(imported.Path.Value)
			if strings.HasPrefix(path, "github.com/seed-36717feb/") {
				t.Errorf("%s imports %s", file.Name, path)
			}
			if strings.Contains(path, ".") && path != "golang.org/x/sys/unix" {
				t.Errorf("the root package depends on %s", path)
			}
		}
	}
}

// The C compiler sees what types Go's functions have, and libbpf's callbacks, instead of what we say.
// Without cgo or Linux, nothing is built but what says so: a file that doesn't import "C" needs a build constraint.
func TestFilesWithoutCgo(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		settings := build.Context{GOOS: system, GOARCH: "amd64", Compiler: "gc", CgoEnabled: false}
		pkg, err := settings.ImportDir(".", 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(pkg.GoFiles, []string{"doc.go", "nocgo.go"}) {
			t.Errorf("without cgo, %v are built for %s", pkg.GoFiles, system)
		}
	}
}

func TestCallbacksHaveTheirTypes(t *testing.T) {
	source := string(readFile(t, "helpers_cgo.c"))
	if !strings.Contains(source, "\n#include \"_cgo_export.h\"\n") {
		t.Error("helpers_cgo.c doesn't include what cgo declares")
	}
	source += string(readFile(t, "helpers_cgo.h"))
	if casts := regexp.MustCompile(`\(\w+_fn(_t)?\)`).FindAllString(source, -1); casts != nil {
		t.Errorf("callbacks are cast: %s", casts)
	}
	exported := regexp.MustCompile(`^//export (\w+)$`)
	found := 0
	for _, file := range packageFiles(t) {
		for _, group := range file.Comments {
			for _, comment := range group.List {
				match := exported.FindStringSubmatch(comment.Text)
				if match == nil {
					continue
				}
				found++
				// A call is indented.
				declaration := regexp.MustCompile(`(?m)^[a-z].*\b` + match[1] + `\(`)
				if line := declaration.FindString(source); line != "" {
					t.Errorf("%s is declared by hand: %s", match[1], line)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no function is exported")
	}
}
