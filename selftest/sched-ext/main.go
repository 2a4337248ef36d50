// Sched-ext checks that a scheduler of BPF programs runs this process.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"syscall"
	"time"

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
		return selftest.Skip(err, syscall.ESRCH) // the kernel has no such schedulers
	}
	defer module.Close()
	scheduler, err := module.GetMap("scheduler")
	if err != nil {
		return err
	}
	return selftest.Effect(module, func() (func() error, error) {
		link, err := scheduler.AttachStructOps()
		if err != nil {
			return nil, err
		}
		name, err := os.ReadFile("/sys/kernel/sched_ext/root/ops")
		if err == nil && string(bytes.TrimSpace(name)) != "selftest" {
			err = fmt.Errorf("the scheduler is %q", name)
		}
		return link.Destroy, err
	}, func() error {
		time.Sleep(10 * time.Millisecond)
		return nil
	})
}
