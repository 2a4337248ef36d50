// Perf-event-cookie checks that a program gets the cookie that it was attached with at the samples of a
// perf event.
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
		return selftest.Clock(func(fd int) (*bpf.BPFLink, error) {
			return prog.AttachPerfEventOpts(fd, bpf.PerfEventOpts{Cookie: selftest.Cookie})
		})
	}, selftest.Work)
}
