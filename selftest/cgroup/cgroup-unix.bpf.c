//go:build ignore

#include "../include/selftest.h"

SEC("cgroup/connect_unix")
int connect_unix(struct bpf_sock_addr *ctx)
{
	hit(0, 1);
	return 0;
}

SEC("cgroup/sendmsg_unix")
int sendmsg_unix(struct bpf_sock_addr *ctx)
{
	hit(0, 1);
	return 0;
}

SEC("cgroup/recvmsg_unix")
int recvmsg_unix(struct bpf_sock_addr *ctx)
{
	hit(0, 1);
	return 1;
}

SEC("cgroup/getsockname_unix")
int getsockname_unix(struct bpf_sock_addr *ctx)
{
	hit(0, 1);
	return 1;
}

SEC("cgroup/getpeername_unix")
int getpeername_unix(struct bpf_sock_addr *ctx)
{
	hit(0, 1);
	return 1;
}
