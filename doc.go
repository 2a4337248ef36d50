// Package libbpfgo binds libbpf, the C library that loads BPF objects into the Linux kernel.
//
// A [Module] is a BPF object: an ELF file compiled by clang, with its maps ([BPFMap]) and
// programs ([BPFProg]). It is opened, adjusted, loaded, its programs are attached ([BPFLink]), and
// what they send arrives through buffers ([RingBuffer]) as Go slices.
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
// The package has the names and signatures of github.com/aquasecurity/libbpfgo and can stand in
// for it by a replace line in go.mod.
//
// # Lifetimes
//
// A Module owns its maps, programs, links and buffers; [Module.Close] closes what is still open.
// Every Close and Destroy may be called twice and from any goroutine. After it, methods that
// return an error return one for which errors.Is(err, os.ErrClosed) holds, the others return what
// is still known or a zero value; none crashes. Nil and zero values of the types are like what was
// closed, except for some methods of a nil [BPFMap] or [BPFMapLow] and for [TcHook], see there.
//
// # Errors
//
// Errors wrap the kernel's code, errors.Is(err, syscall.ENOENT), or libbpf's own ([LibbpfErrno]),
// and carry what libbpf had to say. What the kernel or the linked libbpf doesn't have gives an
// error for which errors.Is(err, errors.ErrUnsupported) holds.
//
// # Linking
//
// After make, in a checkout, the package links the libbpf.a that was built there. Elsewhere, also in
// a vendor folder, it links the one that make install put into /usr/local, or else the system's
// libbpf (1.1 or newer). What CGO_CFLAGS and CGO_LDFLAGS name goes before all of them; with the
// build tag libbpf_external, it is all that there is.
package libbpfgo
