package main

/*
#cgo CFLAGS: -O2 -I${SRCDIR}/../../build/include
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>

// The work of each reader: copy the event and add its number to the sum.
struct target {
	uint64_t sum;
	uint64_t count;
	char copy[8192];
};

static int on_record(void *ctx, void *data, size_t size)
{
	struct target *target = ctx;

	memcpy(target->copy, data, size);
	target->sum += *(uint64_t *)target->copy;
	target->count++;
	return 0;
}

static void on_event(void *ctx, int cpu, void *data, uint32_t size)
{
	on_record(ctx, data, size);
}

static struct ring_buffer *new_ring(int fd, struct target *target)
{
	return ring_buffer__new(fd, on_record, target, NULL);
}

static int add_ring(struct ring_buffer *rb, int fd, struct target *target)
{
	return ring_buffer__add(rb, fd, on_record, target);
}

static struct perf_buffer *new_perf(int fd, size_t pages, struct target *target)
{
	return perf_buffer__new(fd, pages, on_event, NULL, target, NULL);
}

static int read_ring(struct ring_buffer *rb, struct target *target, uint64_t n)
{
	int err = 0;

	target->sum = target->count = 0;
	while (target->count < n && (err >= 0 || err == -EINTR))
		err = ring_buffer__poll(rb, -1);
	return err;
}

static int read_perf(struct perf_buffer *pb, struct target *target, uint64_t n)
{
	int err = 0;

	target->sum = target->count = 0;
	while (target->count < n && (err >= 0 || err == -EINTR))
		err = perf_buffer__poll(pb, -1);
	return err;
}

static int write_user(struct user_ring_buffer *rb, uint64_t n, const void *sample, uint32_t size)
{
	for (; n; n--) {
		void *room = user_ring_buffer__reserve(rb, size);

		if (!room)
			return -errno;
		memcpy(room, sample, size);
		user_ring_buffer__submit(rb, room);
	}
	return 0;
}
*/
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/seed-36717feb/libbpfgo/bench/peer"
)

// cReader reads with libbpf's own loop, in C.
type cReader struct {
	target *C.struct_target
	read   func(n int) C.int
	free   func()
}

func (c *cReader) Read(n int) (uint64, error) {
	if err := c.read(n); err < 0 {
		return 0, syscall.Errno(-err)
	}
	return uint64(c.target.sum), nil
}

func (c *cReader) Close() {
	c.free()
	C.free(unsafe.Pointer(c.target))
}

func newTarget() *C.struct_target {
	return (*C.struct_target)(C.calloc(1, C.sizeof_struct_target))
}

func newCRing(fds ...int) (peer.Source, error) {
	target := newTarget()
	rb, err := C.new_ring(C.int(fds[0]), target)
	if rb == nil {
		return nil, fmt.Errorf("ring_buffer__new: %w", err)
	}
	for _, fd := range fds[1:] {
		if err := C.add_ring(rb, C.int(fd), target); err != 0 {
			return nil, fmt.Errorf("ring_buffer__add: %w", syscall.Errno(-err))
		}
	}
	return &cReader{
		target: target,
		read:   func(n int) C.int { return C.read_ring(rb, target, C.uint64_t(n)) },
		free:   func() { C.ring_buffer__free(rb) },
	}, nil
}

func newCPerf(fd, pages int) (peer.Source, error) {
	target := newTarget()
	pb, err := C.new_perf(C.int(fd), C.size_t(pages), target)
	if pb == nil {
		return nil, fmt.Errorf("perf_buffer__new: %w", err)
	}
	return &cReader{
		target: target,
		read:   func(n int) C.int { return C.read_perf(pb, target, C.uint64_t(n)) },
		free:   func() { C.perf_buffer__free(pb) },
	}, nil
}

type cUser struct{ rb *C.struct_user_ring_buffer }

func newCUser(fd int) (peer.Sink, error) {
	rb, err := C.user_ring_buffer__new(C.int(fd), nil)
	if rb == nil {
		return nil, fmt.Errorf("user_ring_buffer__new: %w", err)
	}
	return cUser{rb}, nil
}

func (c cUser) Write(n int, sample []byte) error {
	if err := C.write_user(c.rb, C.uint64_t(n), unsafe.Pointer(&sample[0]), C.uint32_t(len(sample))); err < 0 {
		return syscall.Errno(-err)
	}
	return nil
}

func (c cUser) Close() { C.user_ring_buffer__free(c.rb) }
