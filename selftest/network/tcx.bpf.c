//go:build ignore

#include "../include/selftest.h"

SEC("tcx/egress")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return TCX_NEXT;
}

SEC("tcx/egress")
int drop(struct __sk_buff *skb)
{
	hit(1, 1);
	return TCX_DROP;
}
