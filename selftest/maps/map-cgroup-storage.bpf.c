//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} percpu SEC(".maps");

SEC("cgroup/connect4")
int prog(struct bpf_sock_addr *ctx)
{
	__u64 *value = bpf_get_local_storage(&shared, 0);

	__sync_fetch_and_add(value, 1);
	value = bpf_get_local_storage(&percpu, 0);
	*value += 1;
	return 1;
}
