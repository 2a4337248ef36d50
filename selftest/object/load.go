package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

func errorPaths(t *selftest.Test) error {
	module, elements, err := t.LoadMap("elements")
	if err != nil {
		return err
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	for name, test := range map[string]struct {
		want error
		do   func() error
	}{
		"no file":       {syscall.ENOENT, func() error { _, err := bpf.NewModuleFromFile("/nothing"); return err }},
		"no ELF":        {bpf.LibbpfErrnoFormat, func() error { _, err := bpf.NewModuleFromBuffer(make([]byte, 100), "zero"); return err }},
		"half a file":   {bpf.LibbpfErrnoFormat, func() error { _, err := bpf.NewModuleFromBuffer(t.Object[:len(t.Object)/2], "half"); return err }},
		"no such map":   {syscall.ENOENT, func() error { _, err := module.GetMap("nothing"); return err }},
		"no such prog":  {syscall.ENOENT, func() error { _, err := module.GetProgram("nothing"); return err }},
		"loaded twice":  {syscall.EINVAL, module.BPFLoadObject},
		"short key":     {syscall.EINVAL, func() error { return elements.UpdateElem(make([]byte, 3), make([]byte, 4), 0) }},
		"empty value":   {syscall.EINVAL, func() error { return elements.UpdateElem(make([]byte, 4), nil, 0) }},
		"nil key":       {syscall.EFAULT, func() error { return elements.DeleteKey(nil) }},
		"no tracepoint": {syscall.ENOENT, func() error { _, err := prog.AttachRawTracepoint("nothing"); return err }},
		"nil channel":   {syscall.EINVAL, func() error { _, err := module.InitRingBuf("elements", nil); return err }},
		"no ring":       {syscall.EINVAL, func() error { _, err := module.InitRingBuf("elements", make(chan []byte)); return err }},
	} {
		if err := test.do(); !errors.Is(err, test.want) {
			return fmt.Errorf("%s returns %v, want %v", name, err, test.want)
		}
	}
	module.Close()
	for name, do := range map[string]func() error{
		"load":   module.BPFLoadObject,
		"map":    func() error { return elements.UpdateElem(make([]byte, 4), make([]byte, 4), 0) },
		"attach": func() error { _, err := prog.AttachGeneric(); return err },
	} {
		if err := do(); !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("after Close, %s returns %v", name, err)
		}
	}
	return nil
}

func features(t *selftest.Test) error {
	module, err := t.Load() // proves that the kernel has this program type and array maps
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

func generic(t *selftest.Test) error {
	module, err := t.Load(func(module *bpf.Module) error {
		prog, err := module.GetProgram("left_out")
		if err == nil {
			prog.SetAutoattach(false)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer module.Close()
	err = selftest.Effect(module, func() (func() error, error) {
		return module.DetachPrograms, module.AttachPrograms()
	}, selftest.Syscall)
	if err != nil {
		return err
	}
	if n, err := selftest.Hits(module, 1); err != nil || n != 0 {
		return fmt.Errorf("the program that was left out ran %d times, %v", n, err)
	}
	return nil
}

func globals(t *selftest.Test) error {
	type pair struct{ First, Second uint32 }
	module, err := t.Load(func(module *bpf.Module) error {
		return errors.Join(
			module.InitGlobalVariable("constant", uint32(100)),
			module.InitGlobalVariable("variable", uint64(2000)),
			module.InitGlobalVariable("pair", pair{30, 40}),
		)
	})
	if err != nil {
		return err
	}
	defer module.Close()
	const want = 100 + 2000 + 30*40
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != want {
		return fmt.Errorf("the program computes %d, %v", ret, err)
	}
	bss, err := module.GetMap("selftest.bss")
	if err != nil {
		return err
	}
	key := uint32(0)
	got, err := bss.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint32(got) != want {
		return fmt.Errorf("the process sees %x, %v", got, err)
	}
	if err := module.InitGlobalVariable("variable", uint64(1)); !errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("after the load: %v", err)
	}
	return nil
}

func kconfig(t *selftest.Test) error {
	file, err := os.CreateTemp("", "kconfig")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString("CONFIG_HZ=4242\nCONFIG_SELFTEST=y\n"); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	module, err := bpf.NewModuleFromBufferArgs(bpf.NewModuleArgs{
		BPFObjBuff: t.Object, BPFObjName: "selftest", KConfigFilePath: file.Name(),
	})
	if err != nil {
		return err
	}
	defer module.Close()
	if err := module.BPFLoadObject(); err != nil {
		return err
	}
	if ret, err := selftest.RunProg(module, "prog"); err != nil || ret != 42421 {
		return fmt.Errorf("the program sees %d, %v", ret, err)
	}
	return nil
}

func logCallbacks(t *selftest.Test) error {
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
	module, err := t.Load()
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

func modules(t *selftest.Test) error {
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	const count = 20
	modules := make([]*bpf.Module, count)
	for i := range modules {
		if modules[i], err = t.Load(); err != nil {
			return err
		}
		defer modules[i].Close()
		if err := modules[i].AttachPrograms(); err != nil {
			return err
		}
	}
	for i, module := range modules {
		before, err := selftest.Hits(module, 0)
		if err != nil {
			return err
		}
		if err := selftest.Syscall(); err != nil {
			return err
		}
		if after, err := selftest.Hits(module, 0); err != nil || after <= before {
			return fmt.Errorf("module %d counts %d, then %d, %v", i, before, after, err)
		}
		module.Close()
		module.Close()
	}
	left, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	if len(left) > len(descriptors)+2 { // the runtime's poller opens two
		return fmt.Errorf("%d descriptors are open, %d before", len(left), len(descriptors))
	}
	return nil
}

func progAutoload(t *selftest.Test) error {
	var verifier *bpf.VerifierError
	if _, err := t.Load(); !errors.As(err, &verifier) || !strings.Contains(err.Error(), "refused") {
		return fmt.Errorf("loading a rejected program returns %v", err)
	}
	if !strings.Contains(verifier.Log, "invalid mem access") {
		return fmt.Errorf("the verifier's log is %q", verifier.Log)
	}
	module, err := t.Load(func(module *bpf.Module) error {
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
