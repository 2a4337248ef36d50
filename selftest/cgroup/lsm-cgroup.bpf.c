//go:build ignore

#include "../include/selftest.h"

SEC("lsm_cgroup/socket_bind")
int BPF_PROG(prog, void *socket, void *address, int size)
{
	hit(0, 1);
	return 0; /* EPERM */
}
