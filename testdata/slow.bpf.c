/* A program whose verification takes about a tenth of a second: the verifier simulates each round
 * of the loop. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("socket")
int slow(void *ctx)
{
	__u64 sum = 0;

	for (int i = 0; i < 100000; i++) {
		sum += i;
		__asm__ volatile("" : "+r"(sum));
	}
	return sum & 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
