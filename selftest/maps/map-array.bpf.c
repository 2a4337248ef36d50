//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u32);
} elements SEC(".maps");

SEC("raw_tp")
int prog(void *ctx)
{
	__u32 last = 2, *value = bpf_map_lookup_elem(&elements, &last);

	return value ? *value : 0;
}
