//go:build ignore

#include "../include/selftest.h"

__noinline int replaceable(struct __sk_buff *skb)
{
	volatile int result = 1;

	return skb ? result : 0;
}

SEC("?tc")
int target(struct __sk_buff *skb)
{
	return replaceable(skb);
}

SEC("?freplace/replaceable")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return 2;
}
