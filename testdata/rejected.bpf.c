/* A program that the verifier rejects: it reads from an address that it was given as a number. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int reads_anywhere(void *ctx)
{
	return *(volatile int *)(long)bpf_get_prandom_u32();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
