//go:build ignore

#include "../include/selftest.h"

SEC("uprobe")
int prog(void *ctx)
{
	return hit_if_cookie(ctx);
}
