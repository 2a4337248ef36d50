package selftest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// Hits returns the programs' counter at a key (include/selftest.h).
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

// Attached converts the results of an Attach method to the results that [Effect] expects of its attach function.
func Attached(link *bpf.BPFLink, err error) (func() error, error) {
	if err != nil {
		return nil, err
	}
	return link.Destroy, nil
}

// Effect checks that provoke makes a program increase its counter at key 0 while the program is attached, and neither
// before nor after. An error of attach is an error of the step [Attaching].
func Effect(module *bpf.Module, attach func() (detach func() error, err error), provoke func() error) error {
	return EffectWhile(module, attach, func(bool) error { return provoke() })
}

// EffectWhile is Effect with a provoke that depends on whether the program is attached.
func EffectWhile(module *bpf.Module, attach func() (detach func() error, err error), provoke func(attached bool) error) error {
	count := func(attached bool) (uint64, error) {
		before, err := Hits(module, 0)
		if err != nil {
			return 0, err
		}
		if err := provoke(attached); err != nil {
			return 0, err
		}
		after, err := Hits(module, 0)
		return after - before, err
	}
	expect := func(when string, attached bool) error {
		n, err := count(attached)
		if err == nil && n > 0 != attached {
			err = fmt.Errorf("%d calls %s", n, when)
		}
		return err
	}
	if err := expect("before the program is attached", false); err != nil {
		return err
	}
	detach, err := attach()
	if err != nil {
		return At(Attaching, err)
	}
	if err := expect("while the program is attached", true); err != nil {
		return errors.Join(err, detach())
	}
	if err := detach(); err != nil {
		return err
	}
	return expect("after the program was detached", false)
}

// An Attach attaches a program.
type Attach = func(*bpf.BPFProg) (*bpf.BPFLink, error)

// One returns a case's function that loads its object and checks the effect of the program "prog".
func One(attach Attach, provoke func() error) func(*Test) error {
	return func(t *Test) error { return t.One(attach, provoke) }
}

// One loads the case's object and checks the effect of the program "prog".
func (t *Test) One(attach Attach, provoke func() error) error {
	return t.one("prog", attach, provoke)
}

func (t *Test) one(name string, attach Attach, provoke func() error) error {
	module, prog, err := t.LoadProgram(name)
	if err != nil {
		return err
	}
	defer module.Close()
	return Effect(module, func() (func() error, error) { return Attached(attach(prog)) }, provoke)
}

// Calls is [Test.One] for a program whose counter is n after one call of provoke.
func (t *Test) Calls(n uint64, attach Attach, provoke func() error) error {
	var module *bpf.Module
	var link *bpf.BPFLink
	return t.One(func(prog *bpf.BPFProg) (_ *bpf.BPFLink, err error) {
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
	})
}

// Denied is [Test.One] for the named program of the object. It also checks that the operation fails with want while the
// program is attached, and succeeds before and after. A nil want is for programs that can't deny the operation.
func (t *Test) Denied(program string, attach Attach, operation func() error, want error) error {
	var link *bpf.BPFLink
	err := t.one(program, func(prog *bpf.BPFProg) (_ *bpf.BPFLink, err error) {
		link, err = attach(prog)
		return link, err
	}, func() error {
		err := operation()
		if link != nil && link.FileDescriptor() >= 0 {
			if !errors.Is(err, want) {
				return fmt.Errorf("the operation returns %v, want %v", err, want)
			}
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("program %q: %w", program, err)
	}
	return nil
}

// Iterate runs an iterator program of the module and returns the numbers that it writes (include/iter.h).
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

// RunProg runs a program once, without attaching it, and returns the program's return value.
func RunProg(module *bpf.Module, name string) (uint32, error) {
	prog, err := module.GetProgram(name)
	if err != nil {
		return 0, err
	}
	var opts bpf.RunOpts
	err = prog.Run(&opts)
	return opts.RetVal, err
}

// Storage checks a local storage map, the module's map "elements" (include/storage.h). fd is the descriptor of the
// kernel object that the storage belongs to, and the key of its element. The process must read the value that the
// program stores, and the program must see the value that the process stores. provoke makes the attached program run.
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
