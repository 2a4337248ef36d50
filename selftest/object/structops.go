package object

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func schedExt(t *selftest.Test) error {
	module, scheduler, err := t.LoadMap("scheduler")
	if err != nil {
		return err
	}
	defer module.Close()
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

func structOps(t *selftest.Test) error {
	module, congestion, err := t.LoadMap("congestion")
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.EffectWhile(module, func() (func() error, error) {
		link, err := congestion.AttachStructOps()
		return link.Destroy, err
	}, func(attached bool) error {
		err := selftest.ConnectBy("bpf_selftest")
		if !attached && errors.Is(err, syscall.ENOENT) {
			return nil
		}
		return err
	})
}

func structOpsLink(t *selftest.Test) error {
	module, first, err := t.LoadMap("first")
	if err != nil {
		return err
	}
	defer module.Close()
	second, err := module.GetMap("second")
	if err != nil {
		return err
	}
	link, err := first.AttachStructOps()
	if err != nil {
		return err
	}
	if err := expectCongestion(module, 1, 0); err != nil {
		return err
	}
	if err := link.UpdateMap(second); err != nil {
		return err
	}
	if err := expectCongestion(module, 1, 1); err != nil {
		return err
	}
	if err := link.Destroy(); err != nil {
		return err
	}
	if err := selftest.ConnectBy("bpf_selftest"); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("after the link is gone, connecting returns %v", err)
	}
	return nil
}

// expectCongestion makes a connection and checks how many connections have used each of the two congestion controls.
func expectCongestion(module *bpf.Module, first, second uint64) error {
	if err := selftest.ConnectBy("bpf_selftest"); err != nil {
		return err
	}
	for key, want := range []uint64{first, second} {
		if n, err := selftest.Hits(module, uint32(key)); err != nil || n != want {
			return fmt.Errorf("congestion control %d was used %d times instead of %d, %v", key, n, want, err)
		}
	}
	return nil
}
