// Iter-bpf checks that iterators go over the kernel's maps, programs, links and symbols, and find
// those of this process.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	hits, err := module.GetMap("hits")
	if err != nil {
		return err
	}
	prog, err := module.GetProgram("links")
	if err != nil {
		return err
	}
	link, err := prog.AttachIter(bpf.IterOpts{})
	if err != nil {
		return err
	}
	for name, fd := range map[string]int{
		"maps": hits.FileDescriptor(), "programs": prog.FileDescriptor(), "links": link.FileDescriptor(),
	} {
		want, err := id(fd)
		if err != nil {
			return err
		}
		got, err := selftest.Iterate(module, name, bpf.IterOpts{})
		if err != nil || !slices.Contains(got, want) {
			return fmt.Errorf("%d isn't among the %s %v, %v", want, name, got, err)
		}
	}
	symbols, err := selftest.Iterate(module, "symbols", bpf.IterOpts{})
	if err != nil || len(symbols) == 0 {
		return fmt.Errorf("the kernel's function wasn't found, %v", err)
	}
	return nil
}

// id returns the number by which the kernel knows what fd is a descriptor of.
func id(fd int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"map_id", "prog_id", "link_id"}, key) {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("descriptor %d has no id", fd)
}
