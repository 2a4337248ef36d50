//go:build ignore

#include "../include/selftest.h"

SEC("sockops")
int prog(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		hit(0, 1);
	return 1;
}
