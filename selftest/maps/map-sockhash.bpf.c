//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

SEC("sk_skb/stream_verdict")
int prog(struct __sk_buff *skb)
{
	__u32 key = 1000;

	return bpf_sk_redirect_hash(skb, &sockets, &key, BPF_F_INGRESS);
}
