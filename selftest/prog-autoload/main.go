// Prog-autoload checks that a program which the kernel refuses can be left out, and what is said if it
// is not.
package main

import (
	_ "embed"
	"errors"
	"fmt"
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
	var verifier *bpf.VerifierError
	if _, err := selftest.Load(object); !errors.As(err, &verifier) || !strings.Contains(err.Error(), "refused") {
		return fmt.Errorf("a program that can't be loaded gives %v", err)
	}
	if !strings.Contains(verifier.Log, "invalid mem access") {
		return fmt.Errorf("the verifier's log is %q", verifier.Log)
	}
	module, err := selftest.Load(object, func(module *bpf.Module) error {
		refused, err := module.GetProgram("refused")
		if err != nil {
			return err
		}
		return refused.SetAutoload(false)
	})
	if err != nil {
		return err
	}
	defer module.Close()
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 5 {
		return fmt.Errorf("the program returns %d, %v", ret, err)
	}
	return nil
}
