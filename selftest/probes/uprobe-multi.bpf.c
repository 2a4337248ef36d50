//go:build ignore

#include "../include/selftest.h"

SEC("uprobe.multi")
int prog(void *ctx)
{
	if (is_target())
		hit(0, bpf_get_attach_cookie(ctx));
	return 0;
}
