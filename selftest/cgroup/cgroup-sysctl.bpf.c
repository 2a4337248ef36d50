//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/sysctl")
int prog(struct bpf_sysctl *ctx)
{
	hit(0, 1);
	return 0;
}
