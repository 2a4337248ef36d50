//go:build ignore

#include "../include/selftest.h"

SEC("flow_dissector")
int prog(struct __sk_buff *skb)
{
	hit(0, 1);
	return BPF_OK;
}
