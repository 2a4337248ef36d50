//go:build ignore

/* Sends each exit of a process through a perf buffer. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int exit_code;
} __attribute__((preserve_access_index));

struct event {
	__u32 pid;
	__u32 code; /* the status as of wait(): the signal, and the code in bits 8 to 15 */
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	__u64 id = bpf_get_current_pid_tgid();
	struct event event = {};

	if ((__u32)id != id >> 32) /* not the main thread */
		return 0;
	event.pid = id >> 32;
	event.code = BPF_CORE_READ(task, exit_code);
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
