//go:build ignore

#include "../include/selftest.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int prog(void *ctx)
{
	static __u64 next = 0;
	__u64 number;

	if (!is_target())
		return 0;
	number = __sync_fetch_and_add(&next, 1);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &number, sizeof(number));
	return 0;
}
