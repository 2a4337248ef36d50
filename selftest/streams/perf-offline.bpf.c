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
	__u64 number = 0;

	if (!is_target())
		return 0;
	/* Counts events that can't be sent because the CPU has no buffer. */
	if (bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &number, sizeof(number)))
		hit(0, 1);
	return 0;
}
