//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

SEC("sk_reuseport")
int prog(struct sk_reuseport_md *ctx)
{
	__u32 key = 1;

	return bpf_sk_select_reuseport(ctx, &sockets, &key, 0) ? SK_DROP : SK_PASS;
}
