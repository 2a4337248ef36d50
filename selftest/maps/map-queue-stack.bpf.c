//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u32);
} stack SEC(".maps");

static bool push(__u32 value)
{
	return !bpf_map_push_elem(&queue, &value, 0) && !bpf_map_push_elem(&stack, &value, 0);
}

SEC("raw_tp")
int prog(void *ctx)
{
	return push(1) && push(2) && push(3) ? 0 : 1;
}
