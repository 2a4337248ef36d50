//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/sock_create")
int create(struct bpf_sock *ctx)
{
	hit(0, 1);
	return 0;
}

SEC("cgroup/sock_release")
int release(struct bpf_sock *ctx)
{
	hit(0, 1);
	return 1;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *ctx)
{
	hit(0, 1);
	return 0;
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *ctx)
{
	hit(0, 1);
	return 0;
}
