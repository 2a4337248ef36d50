package main

import (
	"regexp"
	"testing"

	"github.com/seed-36717feb/libbpfgo/internal/examples"
)

func TestMain(m *testing.M) { examples.Main(m, main) }

func TestProgram(t *testing.T) {
	if code, _, stderr := examples.Run(t, "surplus"); code != 2 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	examples.TestProgram(t, regexp.MustCompile(`(?m)^saw \d+ exits, lost 0$`))
}
