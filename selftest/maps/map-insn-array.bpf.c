//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_INSN_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bpf_insn_array_value);
} elements SEC(".maps");

SEC("raw_tp")
int prog(void *ctx)
{
	void *map;

	/* A program that references the map uses it. This is one instruction with indexes 0 and 1.
	 */
	asm volatile("%0 = %1 ll" : "=r"(map) : "i"(&elements));
	return 0;
}
