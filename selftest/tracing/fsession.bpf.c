//go:build ignore

#include "../include/selftest.h"

SEC("fsession/security_task_getpgid")
int prog(void *ctx)
{
	return hit_if_target(); /* 0: run at the return, too */
}
