package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// isGoTest reports whether a program is a Go test program, by its name.
func isGoTest(path string) bool {
	return filepath.Ext(path) == ".test"
}

// leftOut is the pattern of the Go tests that don't run in the machine: those that take long and depend little on the
// kernel, and those that need the sources, the go command or a dynamically linked program.
const leftOut = "TestThousandRounds|WhileClosing|ConcurrentStopClose|TestOpenCorrupted|Fuzz|TestTwoThousandPerfBuffers|" +
	"TestCallsHoldTheirModule|TestStringsAreFreed|TestAttachUprobe|TestTargetDamaged|TestTargetHuge|" +
	"TestImplementsLines|TestWideIntegersAreAll|TestOptionsAreAll|TestFilesWithoutCgo|TestCallbacksHaveTheirTypes|TestReadmeProgram"

// goTestFlags returns the arguments of a Go test program. With test2json, goTestMark precedes each event of a test, such
// as "--- PASS: TestName". It can follow other output on the same line.
func goTestFlags() []string {
	return []string{"-test.v=test2json", "-test.timeout=14m", fmt.Sprintf("-test.short=%t", *short), "-test.skip", leftOut}
}

const goTestMark = "\x16"

// programOf returns the name of the program that contains a test. A test in a Go test program has a name such as
// libbpfgo.test/TestName.
func programOf(test string) string {
	program, _, _ := strings.Cut(test, "/")
	return program
}

// logged matches the prefix of a message that a Go test logs: the source file and line.
var logged = regexp.MustCompile(`(?m)^    \w+\.go:\d+: `)

// How many bytes are kept of the output of one test, and of the output of all failed tests in a Go test program.
const (
	testOutput    = 4000
	programOutput = 5 * testOutput
)

// summarize reads the output of a Go test program. It returns the output of the tests that failed or didn't finish,
// the output that belongs to no test, and the results of the skipped tests.
func summarize(program string, output io.Reader) (rest string, skips []result, err error) {
	texts := make(map[string]string) // output by unfinished test; "" is the program outside of tests
	test := ""                       // the test that the next output belongs to
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, event, ok := strings.Cut(lines.Text(), goTestMark)
		if text != "" {
			texts[test] = tail(texts[test]+text+"\n", testOutput)
		}
		if !ok {
			continue
		}
		// Such as "=== RUN   TestName" and "--- PASS: TestName (0.01s)". "=== NAME  " without a name precedes output of
		// the program outside of tests.
		fields := append(strings.Fields(event), "", "", "")
		name := fields[2]
		switch fields[1] {
		case "RUN":
			texts[name] = ""
			test = name
			continue
		case "CONT", "NAME":
			test = name
			continue
		case "FAIL:":
			rest = tail(rest+event+"\n"+texts[name], programOutput)
		case "SKIP:":
			messages := logged.Split(texts[name], -1)
			skips = append(skips, result{Test: program + "/" + name, Code: codeSkipped, Output: skipMark + messages[len(messages)-1]})
		case "PASS:":
		default:
			continue
		}
		delete(texts, name)
		test = ""
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if name != "" {
			rest += "not finished: " + name + "\n"
		}
		rest = tail(rest+texts[name], programOutput)
	}
	return rest, skips, lines.Err()
}
