package network

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func tc(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	hook := module.TcHookInit()
	hook.SetInterfaceByIndex(selftest.Loopback)
	hook.SetAttachPoint(bpf.BPFTcEgress)
	if err := hook.Create(); err != nil {
		return selftest.At(selftest.Using, err)
	}
	err = selftest.Effect(module, func() (func() error, error) {
		opts := &bpf.TcOpts{ProgFd: prog.FileDescriptor()}
		if err := hook.Attach(opts); err != nil {
			return nil, err
		}
		query := &bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}
		if err := hook.Query(query); err != nil || query.ProgId != opts.ProgId {
			return nil, fmt.Errorf("the hook has program %d instead of %d, %v", query.ProgId, opts.ProgId, err)
		}
		return func() error { return hook.Detach(&bpf.TcOpts{Handle: opts.Handle, Priority: opts.Priority}) }, nil
	}, selftest.Datagram)
	return errors.Join(err, hook.Destroy())
}

func tcx(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	drop, err := module.GetProgram("drop")
	if err != nil {
		return err
	}
	err = selftest.Effect(module, func() (func() error, error) {
		return selftest.Attached(prog.AttachTCX("lo", bpf.OrderOpts{}))
	}, selftest.Datagram)
	if err != nil {
		return err
	}

	if _, err := prog.AttachTCX("lo", bpf.OrderOpts{}); err != nil {
		return err
	}
	first, err := drop.AttachTCX("lo", bpf.OrderOpts{Flags: bpf.BPFFBefore, RelativeFD: prog.FileDescriptor()})
	if err != nil {
		return err
	}
	before, err := selftest.Hits(module, 0)
	if err != nil {
		return err
	}
	if err := selftest.Datagram(); !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("sending a datagram that is dropped returns %w", err)
	}
	if after, err := selftest.Hits(module, 0); err != nil || after != before {
		return fmt.Errorf("%d calls behind the program that drops, %v", after-before, err)
	}
	if err := first.Destroy(); err != nil {
		return err
	}
	return selftest.Datagram()
}

func netkit(t *selftest.Test) error {
	for program, ends := range map[string][2]string{"primary": {"nk0", "nk1"}, "peer": {"nk1", "nk0"}} {
		err := t.Denied(program, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachNetkit("nk0", bpf.OrderOpts{})
		}, func() error { return selftest.Across(ends[0], ends[1]) }, unix.ENOBUFS)
		if err != nil {
			return err
		}
	}
	return nil
}

func xdpLegacy(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	return selftest.Effect(module, func() (func() error, error) {
		err := prog.AttachXDPLegacy("lo", bpf.XDPFlagsSkbMode)
		return func() error { return prog.DetachXDPLegacy("lo", bpf.XDPFlagsSkbMode) }, err
	}, selftest.Datagram)
}

func xdpNative(t *selftest.Test) error {
	module, prog, err := t.LoadProgram("prog")
	if err != nil {
		return err
	}
	defer module.Close()
	legacy := func(flags bpf.XDPFlags) func() (func() error, error) {
		return func() (func() error, error) {
			err := prog.AttachXDPLegacy("veth1", flags)
			return func() error { return prog.DetachXDPLegacy("veth1", flags) }, err
		}
	}
	for _, test := range []struct {
		mode   byte
		attach func() (detach func() error, err error)
	}{
		{selftest.XDPDriver, legacy(bpf.XDPFlagsDrvMode)},
		{selftest.XDPGeneric, legacy(bpf.XDPFlagsSkbMode)},
		{selftest.XDPDriver, func() (func() error, error) { return selftest.Attached(prog.AttachXDP("veth1")) }},
	} {
		err := selftest.Effect(module, func() (func() error, error) {
			detach, err := test.attach()
			if err == nil {
				err = selftest.WantXDP("veth1", test.mode)
			}
			return detach, err
		}, func() error { return selftest.Across("veth0", "veth1") })
		if err != nil {
			return err
		}
	}
	return nil
}
