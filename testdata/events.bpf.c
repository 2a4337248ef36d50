/* Perf events and user ring buffers. The programs run when one process calls getpgid(n). */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf_events SEC(".maps");

struct scratch {
	char bytes[8192];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

/*
 * The first 8 bytes of each drained sample. A drain continues while samples arrive, so that this
 * ring needs room for more samples than the user ring buffer.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} drained SEC(".maps");

const volatile __u32 target_pid = 0;

struct getpgid_args {
	__u64 common;
	long nr;
	unsigned long pid;
};

/* Counters that the process reads. */
struct counts {
	__u64 sent;   /* number of events, including those that were lost */
	__u64 failed; /* number of events for which there was no buffer */
	/* The result of the last drain, and the value that the callback returns. */
	__s64 result;
	__u64 stop;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

static struct counts *get_counts(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

static bool is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target_pid;
}

static long perf_send_next(__u32 index, void **ctx)
{
	struct counts *c = get_counts();
	__u64 number;

	if (!c)
		return 1;
	number = __sync_fetch_and_add(&c->sent, 1);
	if (bpf_perf_event_output(*ctx, &perf_events, BPF_F_CURRENT_CPU, &number, sizeof(number)))
		__sync_fetch_and_add(&c->failed, 1);
	return 0;
}

/* Sends n events of 8 bytes. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int perf_send_many(struct getpgid_args *ctx)
{
	__u32 n = ctx->pid, i;

	if (!is_target())
		return 0;
	/* bpf_loop() can't pass the context to its callback. Verifiers accept no more rounds of a
	 * plain loop. */
	for (i = 0; i < 2000 && i < n; i++) {
		void *arg = ctx;

		if (perf_send_next(i, &arg))
			break;
	}
	return 0;
}

/* Sends one event of n bytes. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int perf_send_sized(struct getpgid_args *ctx)
{
	__u32 zero = 0, size = ctx->pid;
	struct scratch *event;

	if (!is_target())
		return 0;
	event = bpf_map_lookup_elem(&scratch, &zero);
	if (!event || size > sizeof(*event))
		return 0;
	__builtin_memset(event->bytes, (unsigned char)size, 16);
	bpf_perf_event_output(ctx, &perf_events, BPF_F_CURRENT_CPU, event, size);
	return 0;
}

static long on_sample(struct bpf_dynptr *sample, void *ctx)
{
	struct counts *c = get_counts();
	__u64 number;

	if (!bpf_dynptr_read(&number, sizeof(number), sample, 0, 0))
		bpf_ringbuf_output(&drained, &number, sizeof(number), 0);
	return c && c->stop;
}

/* Drains the samples. n is the flags: 1 never wakes the waiting process, 2 always does. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int drain(struct getpgid_args *ctx)
{
	struct counts *c = get_counts();

	if (!is_target() || !c)
		return 0;
	c->result = bpf_user_ringbuf_drain(&samples, on_sample, NULL, ctx->pid & 3);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
