/* libbpf informs of a section that it leaves out, and loads the rest. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int left_out SEC("nobodys_section") = 1;

SEC("raw_tp/sys_enter")
int nothing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
