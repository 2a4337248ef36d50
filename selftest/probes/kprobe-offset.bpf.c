//go:build ignore

#include "../include/selftest.h"

/* Calls at this address or a lower one aren't counted. */
const volatile __u64 behind = 0;

SEC("kprobe")
int prog(struct pt_regs *ctx)
{
	return PT_REGS_IP(ctx) > behind ? hit_if_target() : 0;
}
