//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 16 * sizeof(__u64));
} elements SEC(".maps");

SEC("raw_tp/sys_enter")
int prog(void *ctx)
{
	long id;

	if (!is_target())
		return 0;
	id = bpf_get_stackid(ctx, &elements, BPF_F_REUSE_STACKID);
	if (id >= 0)
		hit(0, 1);
	return 0;
}
