/* A program that the verifier rejects: it uses a number as an address to read from. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int reads_anywhere(void *ctx)
{
	return *(volatile int *)(long)bpf_get_prandom_u32();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
