//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/connect4")
int prog(struct bpf_sock_addr *ctx)
{
	hit(0, 1);
	return 0; /* EPERM */
}
