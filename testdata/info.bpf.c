/* An object with an unknown section: libbpf skips it with a message of level info. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int left_out SEC("nobodys_section") = 1;

SEC("raw_tp/sys_enter")
int nothing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
