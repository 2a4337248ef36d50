// Perf-event checks that a program runs at the samples of a perf event, which is a clock of this
// thread.
package main

import (
	_ "embed"
	"runtime"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	runtime.LockOSThread() // whose event it is
	return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return selftest.Clock(prog.AttachPerfEvent)
	}, selftest.Work)
}
