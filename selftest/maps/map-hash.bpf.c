//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} elements SEC(".maps");

/* Reads the value of key 1 and stores its double at key 2. */
SEC("raw_tp")
int prog(void *ctx)
{
	__u32 one = 1, two = 2;
	__u64 *value = bpf_map_lookup_elem(&elements, &one), twice;

	if (!value)
		return 1;
	twice = *value * 2;
	return bpf_map_update_elem(&elements, &two, &twice, BPF_NOEXIST) != 0;
}
