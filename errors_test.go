package libbpfgo

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestCodes(t *testing.T) {
	for _, test := range []struct {
		errno syscall.Errno
		is    []error
		isNot []error
		text  string
	}{
		{syscall.ENOENT, []error{syscall.ENOENT}, []error{syscall.EPERM, errors.ErrUnsupported}, "no such file or directory"},
		{syscall.EOPNOTSUPP, []error{syscall.EOPNOTSUPP, errors.ErrUnsupported}, nil, "operation not supported"},
		{524, []error{syscall.Errno(524), errors.ErrUnsupported}, []error{syscall.ENOENT}, "ENOTSUPP"},
		{4001, []error{LibbpfErrnoFormat, syscall.Errno(4001)}, []error{LibbpfErrnoEndian, syscall.Errno(4003)}, "BPF object format invalid"},
		{4003, []error{LibbpfErrnoEndian, syscall.Errno(4003)}, []error{LibbpfErrnoFormat}, "Endian mismatch"},
		{4013, []error{LibbpfErrnoNlparse}, nil, "netlink"},
	} {
		err := failedf(codeError(test.errno), "do %q", "x")
		for _, want := range test.is {
			if !errors.Is(err, want) {
				t.Errorf("%d: %v is not %v", test.errno, err, want)
			}
		}
		for _, other := range test.isNot {
			if errors.Is(err, other) {
				t.Errorf("%d: %v is %v", test.errno, err, other)
			}
		}
		if !strings.HasPrefix(err.Error(), `do "x": `) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%d: %q doesn't say %q", test.errno, err, test.text)
		}
	}
	if err := failed(nil, "do"); err != nil {
		t.Error(err)
	}
}

func TestErrorCarriesWarnings(t *testing.T) {
	w := &watch{warnings: []string{"libbpf: first\n", "libbpf: second\n", "3", "4", "5"}}
	err := w.explain("do it", syscall.EINVAL)
	if got, want := err.Error(), "do it: invalid argument (first; second; 3; 4)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerifierErrorText(t *testing.T) {
	w := &watch{warnings: []string{
		"libbpf: prog 'p': BPF program load failed: -EACCES\n",
		"libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\na\n\nb\nc\nd\nlast\nprocessed 2 insns\n-- END PROG LOAD LOG --\n",
	}}
	err := w.explain("load object", syscall.EACCES)
	want := "load program \"p\": permission denied (1 lines of its log are left out):\n\tb\n\tc\n\td\n\tlast"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	var v *VerifierError
	if !errors.As(err, &v) || v.Program != "p" || v.Log != "a\n\nb\nc\nd\nlast\nprocessed 2 insns\n" {
		t.Errorf("got %+v", v)
	}
}

// What ends a verification early is no refusal.
func TestInterruptedVerification(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE} {
		w := &watch{warnings: []string{
			"libbpf: prog 'p': BPF program load failed: -EAGAIN\n",
			"libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\na\n-- END PROG LOAD LOG --\n",
		}}
		err := w.explain("load object", errno)
		if want := "load object: " + errno.Error() + " (prog 'p': BPF program load failed: -EAGAIN)"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		var v *VerifierError
		if errors.As(err, &v) {
			t.Errorf("%v is a rejection", err)
		}
	}
}

func TestVerifierErrorExplained(t *testing.T) {
	const log = "0: a\n1: b\n2: c\n3: d\nR1 invalid mem access 'scalar'\n\n" +
		"Verification failed: Register Type Safety: Invalid dereference\n\n" +
		"Reason:\n  R1 is an integer scalar here, not a\n  pointer.\n\n" +
		"At:\n  p @ p.bpf.c:5:9\n  Source context:\n  >>> 5 | return *p;\n\n" +
		"Suggestion:\n  Preserve a pointer.\n\nprocessed 2 insns\n"
	err := &VerifierError{Program: "p", Log: log, err: syscall.EACCES}
	want := "load program \"p\": permission denied (5 lines of its log are left out):" +
		"\n\t1: b\n\t2: c\n\t3: d\n\tR1 invalid mem access 'scalar'" +
		"\n\tVerification failed: Register Type Safety: Invalid dereference" +
		"\n\tReason:\n\tR1 is an integer scalar here, not a\n\tpointer.\n\tAt:\n\tp @ p.bpf.c:5:9"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestUnsupportedError(t *testing.T) {
	if err := needLibbpf(1, 1, "f"); err != nil {
		t.Error(err)
	}
	for _, version := range [][2]int{{1, 99}, {2, 0}} {
		err := needLibbpf(version[0], version[1], "bpf_new")
		wantErr(t, err, errors.ErrUnsupported, "bpf_new", LibbpfVersionString())
	}
	wantErr(t, needLibbpf(1, 99, "bpf_new"), errors.ErrUnsupported, "libbpf 1.99")
}
