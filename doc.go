// Package libbpfgo binds libbpf, the C library that loads BPF objects into the Linux kernel.
//
// A [Module] is a BPF object: an ELF file compiled by clang, with its maps ([BPFMap]) and programs ([BPFProg]).
// A program opens it, adjusts it, loads it and attaches its BPF programs ([BPFLink]). What the BPF programs
// send arrives through buffers ([RingBuffer]) as Go slices.
//
//	module, err := libbpfgo.NewModuleFromFile("prog.bpf.o")
//	if err != nil {
//		return err
//	}
//	defer module.Close()
//	if err := module.BPFLoadObject(); err != nil {
//		return err
//	}
//
// The package has the names and signatures of github.com/aquasecurity/libbpfgo. A replace line in go.mod puts
// it in that package's place.
//
// # Lifetimes
//
// A Module owns its maps, programs, links and buffers; [Module.Close] closes what is still open. Every Close
// and Destroy may be called twice and from any goroutine. After it, methods that return an error return
// os.ErrClosed (errors.Is), and the others return the last known value or a zero value. No method crashes. The
// nil pointer and the zero value of a type behave like a closed one, with the exceptions that [BPFMap],
// [BPFMapLow] and [TcHook] document.
//
// # Errors
//
// Errors wrap the kernel's code, such as syscall.ENOENT, or libbpf's own ([LibbpfErrno]), and contain the
// warnings that libbpf printed. If the kernel or the linked libbpf lacks a feature, the error is
// errors.ErrUnsupported.
//
// Where the documentation says that the error is X (errors.Is), the method returns an error for which
// errors.Is(err, X) is true. Compare by errors.Is: errors are wrapped.
//
// # Linking
//
// In a checkout, after make, the package links the libbpf.a that was built there. Elsewhere, also in a vendor
// folder, it links the libbpf that make install put into /usr/local, or else the system's libbpf (1.1 or
// newer). CGO_CFLAGS and CGO_LDFLAGS take precedence over all of these; with the build tag libbpf_external,
// nothing else is used.
package libbpfgo
