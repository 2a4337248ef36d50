//go:build ignore

#include "../include/selftest.h"

static int order = 0;

SEC("cgroup/connect4")
int late(struct bpf_sock_addr *ctx)
{
	hit(0, ++order); /* 2, if it runs after the other one */
	return 1;
}

SEC("cgroup/connect4")
int early(struct bpf_sock_addr *ctx)
{
	++order;
	return 1;
}
