//go:build ignore

#include "../include/selftest.h"

#include <bpf/usdt.bpf.h>

SEC("usdt")
int prog(struct pt_regs *ctx)
{
	return bpf_usdt_cookie(ctx) == COOKIE ? hit_if_target() : 0;
}
