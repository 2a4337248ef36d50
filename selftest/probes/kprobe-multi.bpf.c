//go:build ignore

#include "../include/selftest.h"

SEC("kprobe.multi/security_task_get*")
int prog(void *ctx)
{
	return hit_if_target();
}
