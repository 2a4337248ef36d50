//go:build ignore

#include "../include/selftest.h"

SEC("netfilter")
int prog(void *ctx)
{
	hit(0, 1);
	return 0; /* NF_DROP */
}
