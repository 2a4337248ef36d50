// Log-callbacks checks that what libbpf has to say comes to the callback, except what a filter drops,
// and not to stderr.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	stderr, err := os.CreateTemp("", "stderr")
	if err != nil {
		return err
	}
	defer os.Remove(stderr.Name())
	before, err := unix.Dup(2)
	if err != nil {
		return err
	}
	if err := unix.Dup3(int(stderr.Fd()), 2, 0); err != nil {
		return err
	}
	var messages, kept int
	bpf.SetLoggerCbs(bpf.Callbacks{
		Log: func(level int, msg string) { kept++ },
		LogFilters: []func(int, string) bool{func(level int, msg string) bool {
			messages++
			return strings.Contains(msg, "loading")
		}},
	})
	module, err := selftest.Load(object)
	if err := errors.Join(err, unix.Dup3(before, 2, 0)); err != nil {
		return err
	}
	module.Close()
	if messages == 0 || kept == 0 || kept >= messages {
		return fmt.Errorf("%d of %d messages were kept", kept, messages)
	}
	text, err := os.ReadFile(stderr.Name())
	if err != nil || len(text) > 0 {
		return fmt.Errorf("stderr has %q, %v", text, err)
	}
	return nil
}
