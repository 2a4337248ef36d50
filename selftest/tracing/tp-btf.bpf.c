//go:build ignore

#include "../include/selftest.h"

SEC("tp_btf/sys_enter")
int prog(void *ctx)
{
	return hit_if_target();
}
