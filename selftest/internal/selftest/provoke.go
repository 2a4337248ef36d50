package selftest

/*
// The functions that uprobes are attached to. The first has a static tracepoint, libbpfgo:selftest, with the argument
// n. Its ELF note is the one that <sys/sdt.h> would emit.
__attribute__((noinline)) int selftest_function(int n)
{
	__asm__ volatile("990: nop\n"
			 ".pushsection .note.stapsdt, \"\", \"note\"\n"
			 ".balign 4\n"
			 ".4byte 992f - 991f, 994f - 993f, 3\n"
			 "991: .asciz \"stapsdt\"\n"
			 "992: .balign 4\n"
			 "993: .8byte 990b, _.stapsdt.base, 0\n"
			 ".asciz \"libbpfgo\", \"selftest\"\n"
			 ".asciz \"-4@%0\"\n"
			 "994: .balign 4\n"
			 ".popsection\n"
			 ".ifndef _.stapsdt.base\n"
			 ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"
			 ".weak _.stapsdt.base\n"
			 ".hidden _.stapsdt.base\n"
			 "_.stapsdt.base: .space 1\n"
			 ".size _.stapsdt.base, 1\n"
			 ".popsection\n"
			 ".endif\n" ::"nor"(n));
	return n + 1;
}

__attribute__((noinline)) int selftest_other_function(int n)
{
	__asm__ volatile("");
	return n + 2;
}
*/
import "C"

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Syscall makes the system call getpgid, in which the kernel calls security_task_getpgid.
func Syscall() error {
	_, err := unix.Getpgid(os.Getpid())
	return err
}

// FailingSyscall makes the system call getpgid so that it fails with ESRCH.
func FailingSyscall() error {
	if _, err := unix.Getpgid(-1); !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("the group of no process: %w", err)
	}
	return nil
}

// CallFunction calls the functions that [Function] finds, with the argument 41.
func CallFunction() error {
	if n := C.selftest_function(41) + C.selftest_other_function(41); n != 42+43 {
		return fmt.Errorf("the functions return %d", n)
	}
	return nil
}

// Function returns the path of this program and the file offset of a C function in it: "selftest_function", which
// contains the static tracepoint libbpfgo:selftest, or "selftest_other_function".
func Function(name string) (path string, offset uint64, err error) {
	path, err = os.Executable()
	if err != nil {
		return "", 0, err
	}
	file, err := elf.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		return "", 0, err
	}
	for _, s := range symbols {
		if s.Name != name {
			continue
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				return path, s.Value - p.Vaddr + p.Off, nil
			}
		}
	}
	return "", 0, fmt.Errorf("%s has no function %s", path, name)
}
