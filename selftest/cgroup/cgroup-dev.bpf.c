//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/dev")
int prog(struct bpf_cgroup_dev_ctx *ctx)
{
	if (ctx->major != 1 || ctx->minor != 5) /* /dev/zero */
		return 1;
	hit(0, 1);
	return 0;
}
