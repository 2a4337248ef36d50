//go:build ignore

#include "../include/selftest.h"

struct value {
	struct bpf_spin_lock lock;
	__u32 first, second;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} elements SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&elements, &key);

	if (!value)
		return 1;
	bpf_spin_lock(&value->lock);
	value->first++;
	value->second++;
	bpf_spin_unlock(&value->lock);
	return 0;
}
