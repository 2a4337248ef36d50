//go:build ignore

#include "../include/selftest.h"

/* The address of the secret in the selftest's process, and its value. */
const volatile __u64 address = 0;
const volatile __u64 secret = 0;

SEC("lsm.s/file_open")
int BPF_PROG(prog, void *file)
{
	__u64 value = 0;

	/* The helper may wait for a page of memory: only sleepable programs can call it. */
	if (is_target() && !bpf_copy_from_user(&value, sizeof(value), (void *)address) &&
	    value == secret)
		hit(0, 1);
	return 0;
}
