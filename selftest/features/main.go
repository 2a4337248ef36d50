// Features checks that the probes of the kernel know what it has, and what no kernel has.
package main

import (
	_ "embed"
	"fmt"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	module, err := selftest.Load(object) // so this kernel has programs of this type, and array maps
	if err != nil {
		return err
	}
	module.Close()
	for name, probe := range map[string]struct {
		want bool
		do   func() (bool, error)
	}{
		"raw tracepoints": {true, func() (bool, error) { return bpf.BPFProgramTypeIsSupported(bpf.BPFProgTypeRawTracepoint) }},
		"array maps":      {true, func() (bool, error) { return bpf.BPFMapTypeIsSupported(bpf.MapTypeArray) }},
		"map lookup in XDP": {true, func() (bool, error) {
			return bpf.BPFHelperIsSupported(bpf.BPFProgTypeXdp, bpf.BPFFuncMapLookupElem)
		}},
		"redirect in socket filters": {false, func() (bool, error) {
			return bpf.BPFHelperIsSupported(bpf.BPFProgTypeSocketFilter, bpf.BPFFuncXdpAdjustHead)
		}},
	} {
		if got, err := probe.do(); err != nil || got != probe.want {
			return fmt.Errorf("the probe of %s says %v, %v", name, got, err)
		}
	}
	if supported, err := bpf.BPFMapTypeIsSupported(1 << 20); supported {
		return fmt.Errorf("a map type that there isn't is supported, %v", err)
	}
	return nil
}
