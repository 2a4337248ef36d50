//go:build ignore

#include "../include/selftest.h"

SEC("tracepoint")
int prog(void *ctx)
{
	return hit_if_target();
}
