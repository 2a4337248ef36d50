//go:build ignore

#include "../include/selftest.h"

#include <bpf/usdt.bpf.h>

SEC("usdt")
int BPF_USDT(prog, int n)
{
	if (is_target() && n == 41)
		hit(0, 1);
	return 0;
}
