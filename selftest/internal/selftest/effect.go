package selftest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// Hits returns what the programs have counted under a key (include/selftest.h).
func Hits(module *bpf.Module, key uint32) (uint64, error) {
	hits, err := module.GetMap("hits")
	if err != nil {
		return 0, err
	}
	value, err := hits.GetValue(unsafe.Pointer(&key))
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(value), nil
}

// Attached makes what an Attach method returns into what [Effect] wants.
func Attached(link *bpf.BPFLink, err error) (func() error, error) {
	if err != nil {
		return nil, err
	}
	return link.Destroy, nil
}

// Effect checks that provoke makes a program count under key 0 while it is attached, and neither before
// nor after.
func Effect(module *bpf.Module, attach func() (detach func() error, err error), provoke func() error) error {
	count := func() (uint64, error) {
		before, err := Hits(module, 0)
		if err != nil {
			return 0, err
		}
		if err := provoke(); err != nil {
			return 0, err
		}
		after, err := Hits(module, 0)
		return after - before, err
	}
	expect := func(when string, calls bool) error {
		n, err := count()
		if err == nil && n > 0 != calls {
			err = fmt.Errorf("%d calls %s", n, when)
		}
		return err
	}
	if err := expect("before the program is attached", false); err != nil {
		return err
	}
	detach, err := attach()
	if err != nil {
		return err
	}
	if err := expect("while the program is attached", true); err != nil {
		return errors.Join(err, detach())
	}
	if err := detach(); err != nil {
		return err
	}
	return expect("after the program was detached", false)
}

// One loads an object and checks the effect of its program "prog". If loading or attaching gives one of
// refusals, the kernel lacks the kind of program, which skips the test.
func One(object []byte, attach func(*bpf.BPFProg) (*bpf.BPFLink, error), provoke func() error, refusals ...error) error {
	return one(object, "prog", attach, provoke, refusals...)
}

func one(object []byte, name string, attach func(*bpf.BPFProg) (*bpf.BPFLink, error), provoke func() error, refusals ...error) error {
	module, err := Load(object)
	if err != nil {
		return Skip(err, refusals...)
	}
	defer module.Close()
	prog, err := module.GetProgram(name)
	if err != nil {
		return err
	}
	return Effect(module, func() (func() error, error) {
		detach, err := Attached(attach(prog))
		return detach, Skip(err, refusals...)
	}, provoke)
}

// KprobeBy is [One] by a kprobe that is made in that mode.
func KprobeBy(object []byte, mode bpf.ProbeAttachMode) error {
	return One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		link, err := prog.AttachKprobeOpts("security_task_getpgid", bpf.KprobeOpts{AttachMode: mode})
		return MadeBy(mode, link, err)
	}, Syscall, KprobeRefusals()...)
}

// UprobeBy is [One] by a uprobe that is made in that mode.
func UprobeBy(object []byte, mode bpf.ProbeAttachMode) error {
	path, offset, err := Function("selftest_function")
	if err != nil {
		return err
	}
	return One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
		link, err := prog.AttachUprobeOpts(os.Getpid(), path, offset, bpf.UprobeOpts{AttachMode: mode})
		return MadeBy(mode, link, err)
	}, CallFunction)
}

// Calls is [One] for a program that counts n each time that it is provoked.
func Calls(object []byte, n uint64, attach func(*bpf.BPFProg) (*bpf.BPFLink, error), provoke func() error, refusals ...error) error {
	var module *bpf.Module
	var link *bpf.BPFLink
	return One(object, func(prog *bpf.BPFProg) (_ *bpf.BPFLink, err error) {
		module = prog.GetModule()
		link, err = attach(prog)
		return link, err
	}, func() error {
		if err := provoke(); err != nil || link == nil || link.FileDescriptor() < 0 {
			return err
		}
		if got, err := Hits(module, 0); err != nil || got != n {
			return fmt.Errorf("%d calls instead of %d, %v", got, n, err)
		}
		return nil
	}, refusals...)
}

// Denied is [One] for any program of the object, by whose link an operation, which works without it, fails
// with want. If that is nil, the program can only watch.
func Denied(object []byte, program string, attach func(*bpf.BPFProg) (*bpf.BPFLink, error), operation func() error, want error, refusals ...error) error {
	var link *bpf.BPFLink
	err := one(object, program, func(prog *bpf.BPFProg) (_ *bpf.BPFLink, err error) {
		link, err = attach(prog)
		return link, err
	}, func() error {
		err := operation()
		if link != nil && link.FileDescriptor() >= 0 {
			if !errors.Is(err, want) {
				return fmt.Errorf("the operation gives %v, want %v", err, want)
			}
			return nil
		}
		return err
	}, refusals...)
	if err != nil {
		return fmt.Errorf("program %q: %w", program, err)
	}
	return nil
}

// InCgroupDenied is [Denied] for programs that are attached to a cgroup with this process, which is in a
// network namespace of its own.
func InCgroupDenied(object []byte, operation func() error, programs map[string]error, refusals ...error) error {
	return InNetwork(func() error {
		return InCgroup(func(path string) error {
			for program, want := range programs {
				err := Denied(object, program, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
					return prog.AttachCgroup(path)
				}, operation, want, refusals...)
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// KprobeRefusals are the errors by which a kernel without kprobes, if this is one, tells that.
func KprobeRefusals() []error {
	for _, path := range []string{"/sys/kernel/tracing/kprobe_events", "/sys/kernel/debug/tracing/kprobe_events"} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return []error{syscall.ENOENT, syscall.EOPNOTSUPP, syscall.EPERM}
}

// Iterate runs an iterator of the module's and returns the numbers that it writes (include/iter.h).
func Iterate(module *bpf.Module, name string, opts bpf.IterOpts) ([]uint64, error) {
	prog, err := module.GetProgram(name)
	if err != nil {
		return nil, err
	}
	link, err := prog.AttachIter(opts)
	if err != nil {
		return nil, err
	}
	reader, err := link.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, field := range strings.Fields(string(text)) {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, link.Destroy()
}

// RunProg runs a program once, without attaching it, and returns what it returns.
func RunProg(module *bpf.Module, name string) (uint32, error) {
	prog, err := module.GetProgram(name)
	if err != nil {
		return 0, err
	}
	var opts bpf.RunOpts
	err = prog.Run(&opts)
	return opts.RetVal, err
}

// Storage checks that the process reads, by a descriptor, what the module's program stores in the map
// "elements" with the object that it is of, and the other way round (include/storage.h). Provoke makes the
// program, which is attached, do that.
func Storage(module *bpf.Module, fd int, provoke func() error) error {
	elements, err := module.GetMap("elements")
	if err != nil {
		return err
	}
	key := uint32(fd)
	if err := provoke(); err != nil {
		return err
	}
	got, err := elements.GetValue(unsafe.Pointer(&key))
	if err != nil || binary.NativeEndian.Uint64(got) != 7 {
		return fmt.Errorf("the program has stored %x, %v", got, err)
	}
	value := uint64(1000)
	if err := elements.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if err := provoke(); err != nil {
		return err
	}
	if n, err := Hits(module, 0); err != nil || n == 0 {
		return fmt.Errorf("the program has seen the value %d times, %v", n, err)
	}
	return elements.DeleteKey(unsafe.Pointer(&key))
}
