package main

import (
	"bufio"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// isGoTest tells by its name whether a program is made by go test.
func isGoTest(path string) bool {
	return filepath.Ext(path) == ".test"
}

// leftOut is the pattern of the tests that take long and depend little on the kernel, and of those that need the
// sources, the go command or a program that isn't static.
const leftOut = "TestThousandRounds|WhileClosing|ConcurrentStopClose|TestOpenCorrupted|Fuzz|TestTwoThousandPerfBuffers|TestCallsHoldTheirModule|" +
	"TestImplementsLines|TestWideIntegersAreAll|TestOptionsAreAll|TestFilesWithoutCgo|TestCallbacksHaveTheirTypes|TestReadmeProgram|TestAttachUprobe|TestTargetDamaged|TestTargetHuge"

// With goTestFlags, each line that tells what becomes of a test begins with goTestMark, whatever was printed
// before it.
var goTestFlags = []string{"-test.v=test2json", "-test.timeout=8m", "-test.skip", leftOut}

const goTestMark = "\x16"

// programOf returns the name of the program that a test is in: a Go test is called libbpfgo.test/TestName.
func programOf(test string) string {
	program, _, _ := strings.Cut(test, "/")
	return program
}

// logged is what stands before the first line of what a Go test logs.
var logged = regexp.MustCompile(`(?m)^    \w+\.go:\d+: `)

// How much is kept of a test's output, and of the output of all those in a Go test program that have failed.
const (
	testOutput    = 4000
	programOutput = 5 * testOutput
)

// summarize reads the output of a Go test program. It returns what those of its tests have printed that
// have failed or not finished, and the program itself, and results of those that were skipped.
func summarize(program string, output io.Reader) (rest string, skips []result, err error) {
	texts := make(map[string]string) // by running test, and under "" the program's
	test := ""                       // the one that prints
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
		// As in "=== RUN   TestName", "--- PASS: TestName (0.01s)", and "=== NAME  " before the program's.
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
