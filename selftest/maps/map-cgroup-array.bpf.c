//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} elements SEC(".maps");

SEC("raw_tp")
int prog(void *ctx)
{
	return bpf_current_task_under_cgroup(&elements, 1);
}
