//go:build ignore

#include "../include/selftest.h"

SEC("sk_reuseport")
int prog(struct sk_reuseport_md *ctx)
{
	hit(0, 1);
	return SK_DROP;
}
