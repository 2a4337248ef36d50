//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 5);
	__type(value, __u32);
} elements SEC(".maps");

const volatile __u32 wanted = 42;

SEC("raw_tp")
int prog(void *ctx)
{
	__u32 value = wanted;

	return bpf_map_peek_elem(&elements, &value) == 0;
}
