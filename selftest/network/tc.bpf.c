//go:build ignore

#include "../include/selftest.h"

SEC("tc")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return 0; /* TC_ACT_OK */
}
