//go:build ignore

#include "../include/selftest.h"

SEC("netkit/primary")
int primary(struct __sk_buff *skb)
{
	hit(0, 1);
	return TCX_DROP;
}

SEC("netkit/peer")
int peer(struct __sk_buff *skb)
{
	hit(0, 1);
	return TCX_DROP;
}
