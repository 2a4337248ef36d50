//go:build ignore

#include "../include/selftest.h"

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	hit(0, 1);
	return XDP_PASS;
}
