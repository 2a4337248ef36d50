//go:build ignore

#include "../include/selftest.h"

/* Where the test's process has a secret, and what. */
const volatile __u64 address = 0;
const volatile __u64 secret = 0;

SEC("lsm.s/file_open")
int BPF_PROG(prog, void *file)
{
	__u64 value = 0;

	/* It may have to wait for the memory, so that only a program that may sleep can call it. */
	if (is_target() && !bpf_copy_from_user(&value, sizeof(value), (void *)address) &&
	    value == secret)
		hit(0, 1);
	return 0;
}
