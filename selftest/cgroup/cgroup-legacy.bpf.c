//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/skb")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return 1;
}
