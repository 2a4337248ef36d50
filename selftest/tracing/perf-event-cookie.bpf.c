//go:build ignore

#include "../include/selftest.h"

SEC("perf_event")
int prog(void *ctx)
{
	return hit_if_cookie(ctx);
}
