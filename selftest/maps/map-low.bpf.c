//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} elements SEC(".maps");

SEC("raw_tp")
int prog(void *ctx)
{
	__u32 zero = 0, *value = bpf_map_lookup_elem(&elements, &zero);

	return value ? *value : 0;
}
