//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/getsockopt")
int getsockopt(struct bpf_sockopt *ctx)
{
	hit(0, 1);
	return 0;
}

SEC("cgroup/setsockopt")
int setsockopt(struct bpf_sockopt *ctx)
{
	hit(0, 1);
	return 0;
}
