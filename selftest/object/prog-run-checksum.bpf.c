//go:build ignore

#include "../include/selftest.h"

static inline int store(struct __sk_buff *skb, __u64 flags)
{
	__u8 value = 42;

	return bpf_skb_store_bytes(skb, 20, &value, sizeof(value), flags);
}

SEC("tc")
int right(struct __sk_buff *skb)
{
	return store(skb, BPF_F_RECOMPUTE_CSUM);
}

SEC("tc")
int wrong(struct __sk_buff *skb)
{
	return store(skb, 0);
}
