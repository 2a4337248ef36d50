// Package examples is for the tests of examples: of those that load BPF programs in the packages' documentation, and
// of the programs in the folder examples.
package examples

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// SkipUnlessRoot leaves the examples out, which can't skip themselves, where BPF programs can't be loaded. It is
// called by TestMain.
func SkipUnlessRoot() {
	if os.Geteuid() == 0 {
		return
	}
	fmt.Fprintln(os.Stderr, "skipping the examples: BPF programs can be loaded by root only")
	flag.Parse()
	skip := flag.Lookup("test.skip").Value
	_ = skip.Set(strings.TrimPrefix(skip.String()+"|^Example", "|"))
}
