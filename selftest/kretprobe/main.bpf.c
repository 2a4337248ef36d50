//go:build ignore

#include "../include/selftest.h"

SEC("kretprobe")
int prog(void *ctx)
{
	return hit_if_target();
}
