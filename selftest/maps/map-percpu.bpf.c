//go:build ignore

#include "../include/selftest.h"

struct value {
	__u32 numbers[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} lru_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} array SEC(".maps");

static inline int use(void *map)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(map, &key);

	if (!value)
		return 0;
	value->numbers[2] += 1000;
	return value->numbers[0];
}

SEC("raw_tp")
int use_hash(void *ctx)
{
	return use(&hash);
}

SEC("raw_tp")
int use_lru_hash(void *ctx)
{
	return use(&lru_hash);
}

SEC("raw_tp")
int use_array(void *ctx)
{
	return use(&array);
}
