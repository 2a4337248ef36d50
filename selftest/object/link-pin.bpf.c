//go:build ignore

#include "../include/selftest.h"

SEC("raw_tp/sys_enter")
int prog(void *ctx)
{
	return hit_if_target();
}
