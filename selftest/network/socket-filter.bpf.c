//go:build ignore

#include "../include/selftest.h"

SEC("socket")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return 0; /* keep 0 bytes: drop the packet */
}
