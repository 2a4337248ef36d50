//go:build ignore

#include "../include/selftest.h"

SEC("ksyscall")
int prog(void *ctx)
{
	return hit_if_cookie(ctx);
}
