//go:build ignore

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

const volatile __u32 target_pid = 0;

__u64 sent = 0;

SEC("raw_tp/sys_enter")
int send(void *ctx)
{
	__u64 *number;

	if (bpf_get_current_pid_tgid() >> 32 != target_pid)
		return 0;
	number = bpf_ringbuf_reserve(&events, sizeof(*number), 0);
	if (!number)
		return 0;
	*number = __sync_fetch_and_add(&sent, 1);
	bpf_ringbuf_submit(number, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
