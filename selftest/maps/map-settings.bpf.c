//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} elements SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 0xffffffff); /* more than the kernel can create */
	__type(key, __u32);
	__type(value, __u32);
} left_out SEC(".maps");
