//go:build ignore

#include "../include/selftest.h"

SEC("kprobe.session")
int prog(void *ctx)
{
	return hit_if_target(); /* 0: run at the return, too */
}
