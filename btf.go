package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"syscall"
)

// GetBTFFDByID returns a new file descriptor of the kernel's BTF with that id. The caller must close it. After an
// error, it is negative.
//
// Implements: bpf_btf_get_fd_by_id
func GetBTFFDByID(id uint32) (int, error) {
	fd := C.bpf_btf_get_fd_by_id(C.__u32(id))
	return int(fd), failedf(codeOf(fd), "get BTF %d", id)
}

// BTFFD returns the descriptor of the object's BTF in the kernel. It belongs to the module. If the object has no BTF
// in the kernel, as before the load, the descriptor is -1 and the error is syscall.ENOENT (errors.Is).
//
// Implements: bpf_object__btf_fd
func (m *Module) BTFFD() (int, error) {
	what := fmt.Sprintf("get the BTF of object %q", m.in().name)
	if err := m.in().enter(); err != nil {
		return -1, failed(err, what)
	}
	defer m.in().exit()
	fd := C.bpf_object__btf_fd(m.in().c)
	if fd < 0 {
		return -1, failed(fmt.Errorf("it isn't in the kernel: %w", syscall.ENOENT), what)
	}
	return int(fd), nil
}
