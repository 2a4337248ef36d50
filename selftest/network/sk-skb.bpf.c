//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("sk_skb/stream_verdict")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return SK_DROP;
}
