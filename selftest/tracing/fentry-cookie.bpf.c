//go:build ignore

#include "../include/selftest.h"

SEC("fentry/security_task_getpgid")
int prog(void *ctx)
{
	return hit_if_cookie(ctx);
}
