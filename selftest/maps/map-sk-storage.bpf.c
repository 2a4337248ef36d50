//go:build ignore

#include "../include/storage.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} elements SEC(".maps");

SEC("cgroup/connect4")
int prog(struct bpf_sock_addr *ctx)
{
	if (ctx->sk)
		store(bpf_sk_storage_get(&elements, ctx->sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE));
	return 1;
}
