//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} elements SEC(".maps");

SEC("raw_tp")
int prog(void *ctx)
{
	bpf_tail_call(ctx, &elements, 1);
	return 1;
}

SEC("raw_tp")
int second(void *ctx)
{
	return 2;
}
