// Package examples has helpers for tests: of the examples in the packages' documentation that load BPF programs, and of
// the programs in the folder examples.
package examples

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// SkipUnlessRoot skips all examples if the user isn't root, because they load BPF programs and an example can't skip
// itself. It is called by TestMain.
func SkipUnlessRoot() {
	if os.Geteuid() == 0 {
		return
	}
	fmt.Fprintln(os.Stderr, "skipping the examples: BPF programs can be loaded by root only")
	flag.Parse()
	skip := flag.Lookup("test.skip").Value
	_ = skip.Set(strings.TrimPrefix(skip.String()+"|^Example", "|"))
}
