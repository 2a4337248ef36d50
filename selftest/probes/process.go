package probes

import (
	"os"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

// atFunction returns the function of a case with a program at this process's function selftest_function, or at the
// static tracepoint in it. attach is called with the process's id, the path of its file, and the function's offset in
// the file.
func atFunction(attach func(prog *bpf.BPFProg, pid int, path string, offset uint64) (*bpf.BPFLink, error)) func(*selftest.Test) error {
	return func(t *selftest.Test) error {
		path, offset, err := selftest.Function("selftest_function")
		if err != nil {
			return err
		}
		return t.One(func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return attach(prog, os.Getpid(), path, offset)
		}, selftest.CallFunction)
	}
}

// uprobeBy returns the function of a case with a uprobe that is attached in the given mode.
func uprobeBy(mode bpf.ProbeAttachMode) func(*selftest.Test) error {
	return atFunction(func(prog *bpf.BPFProg, pid int, path string, offset uint64) (*bpf.BPFLink, error) {
		link, err := prog.AttachUprobeOpts(pid, path, offset, bpf.UprobeOpts{AttachMode: mode})
		return selftest.MadeBy(mode, link, err)
	})
}

func uprobeMulti(t *selftest.Test) error {
	path, first, err := selftest.Function("selftest_function")
	if err != nil {
		return err
	}
	_, second, err := selftest.Function("selftest_other_function")
	if err != nil {
		return err
	}
	cookies := []uint64{1000, 1}
	for _, opts := range []bpf.UprobeMultiOpts{
		{Offsets: []uint64{first, second}, Cookies: cookies},
		{Symbols: []string{"selftest_function", "selftest_other_function"}, Cookies: cookies},
	} {
		err := t.Calls(1001, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachUprobeMultiOpts(os.Getpid(), path, "", opts)
		}, selftest.CallFunction)
		if err != nil {
			return err
		}
	}
	return nil
}

func uretprobe(t *selftest.Test) error {
	path, offset, err := selftest.Function("selftest_function")
	if err != nil {
		return err
	}
	err = t.Calls(1, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachURetprobe(os.Getpid(), path, offset)
	}, selftest.CallFunction)
	if err != nil {
		return err
	}
	return t.Calls(1+selftest.Cookie, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		return prog.AttachURetprobeWithOpts(os.Getpid(), path, offset, selftest.Cookie)
	}, selftest.CallFunction)
}

func uretprobeMulti(t *selftest.Test) error {
	path, first, err := selftest.Function("selftest_function")
	if err != nil {
		return err
	}
	_, second, err := selftest.Function("selftest_other_function")
	if err != nil {
		return err
	}
	offsets, results := []uint64{first, second}, []uint64{42, 43}
	opts := func(opts bpf.UprobeMultiOpts) selftest.Attach {
		opts.Cookies, opts.Retprobe = results, true
		return func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachUprobeMultiOpts(os.Getpid(), path, "", opts)
		}
	}
	for _, attach := range []selftest.Attach{
		opts(bpf.UprobeMultiOpts{Offsets: offsets}),
		opts(bpf.UprobeMultiOpts{Symbols: []string{"selftest_function", "selftest_other_function"}}),
		func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachURetprobeMulti(os.Getpid(), path, offsets, results)
		},
	} {
		err := t.Calls(42+43, attach, selftest.CallFunction)
		if err != nil {
			return err
		}
	}
	return nil
}
