/* The object of the examples in the documentation. BPF_PROG_TEST_RUN runs the programs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

/* Sends the numbers 1, 2 and 3 to the ring buffer. */
SEC("raw_tp")
int send(void *ctx)
{
	for (int i = 1; i <= 3; i++) {
		__u64 number = i;

		bpf_ringbuf_output(&events, &number, sizeof(number), 0);
	}
	return 0;
}

/* Sends the numbers 1, 2 and 3 to the perf buffer. */
SEC("raw_tp")
int send_perf(void *ctx)
{
	for (int i = 1; i <= 3; i++) {
		__u64 number = i;

		bpf_perf_event_output(ctx, &perf_events, BPF_F_CURRENT_CPU, &number,
				      sizeof(number));
	}
	return 0;
}

static long add(struct bpf_dynptr *sample, __u64 *sum)
{
	__u64 number = 0;

	bpf_dynptr_read(&number, sizeof(number), sample, 0, 0);
	*sum += number;
	return 0;
}

/* Drains the user ring buffer and returns the sum of the samples' numbers. */
SEC("raw_tp")
int add_up(void *ctx)
{
	__u64 sum = 0;

	bpf_user_ringbuf_drain(&samples, add, &sum, 0);
	return sum;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
