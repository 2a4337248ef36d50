//go:build ignore

#include "../include/selftest.h"

SEC("raw_tp/sys_enter")
int prog(void *ctx)
{
	return hit_if_target();
}

SEC("tp/syscalls/sys_enter_getpgid")
int second(void *ctx)
{
	return hit_if_target();
}

SEC("tp/syscalls/sys_enter_getpgid")
int left_out(void *ctx)
{
	if (is_target())
		hit(1, 1);
	return 0;
}
