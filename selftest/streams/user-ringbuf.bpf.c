//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

static long on_sample(struct bpf_dynptr *sample, void *ctx)
{
	__u32 *next = ctx, number;

	if (bpf_dynptr_read(&number, sizeof(number), sample, 0, 0) || number != *next)
		return 1;
	++*next;
	return 0;
}

/* Drains the samples and counts those that are numbered from 0 on, without a gap. */
SEC("tp/syscalls/sys_enter_getpgid")
int prog(void *ctx)
{
	__u32 next = 0;

	if (!is_target())
		return 0;
	if (bpf_user_ringbuf_drain(&samples, on_sample, &next, 0) > 0)
		hit(0, next);
	return 0;
}
