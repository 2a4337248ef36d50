// Link-update checks that a program is put in the place of another one, without a gap.
package main

import (
	_ "embed"
	"fmt"

	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	return selftest.InNetwork(func() error {
		module, err := selftest.Load(object)
		if err != nil {
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		second, err := module.GetProgram("second")
		if err != nil {
			return err
		}
		link, err := prog.AttachXDP("lo")
		if err != nil {
			return err
		}
		for round := range uint64(2) {
			if err := selftest.Datagram(); err != nil {
				return err
			}
			for key := range uint32(2) {
				want := uint64(1)
				if uint64(key) > round {
					want = 0
				}
				if n, err := selftest.Hits(module, key); err != nil || n != want {
					return fmt.Errorf("round %d: program %d ran %d times, %v", round, key, n, err)
				}
			}
			if err := link.UpdateProgram(second); err != nil {
				return err
			}
		}
		return nil
	})
}
