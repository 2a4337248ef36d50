//go:build ignore

#include "../include/selftest.h"

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} before_load SEC(".maps") = {.values = {[1] = &first}};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} after_load SEC(".maps");

static __u32 inner_value(void *outer, __u32 key)
{
	__u32 zero = 0, *value;
	void *inner = bpf_map_lookup_elem(outer, &key);

	if (!inner)
		return 0;
	value = bpf_map_lookup_elem(inner, &zero);
	return value ? *value : 0;
}

SEC("raw_tp")
int prog(void *ctx)
{
	return inner_value(&before_load, 1) * 100 + inner_value(&after_load, 1);
}
