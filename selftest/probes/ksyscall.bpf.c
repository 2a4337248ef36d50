//go:build ignore

#include "../include/selftest.h"

SEC("ksyscall/getpgid")
int prog(void *ctx)
{
	return hit_if_target();
}
