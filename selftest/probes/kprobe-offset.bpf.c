//go:build ignore

#include "../include/selftest.h"

/* A call at a lower address, or at this one, isn't counted. */
const volatile __u64 behind = 0;

SEC("kprobe")
int prog(struct pt_regs *ctx)
{
	return PT_REGS_IP(ctx) > behind ? hit_if_target() : 0;
}
