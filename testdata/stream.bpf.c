//go:build ignore

/* Sends numbered records, events and samples from several producers at once. BPF_PROG_TEST_RUN runs
 * the programs. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} stream SEC(".maps");

struct event {
	__u64 producer;
	__u64 number;
	__u64 check;
};

struct args {
	__u64 count;
	__u64 producer; /* 0 or 1; each is used by one thread at a time */
};

struct progress {
	__u64 producer;
	__u64 sent;
};

static __u64 numbers[2];

static long send_next(__u32 index, struct progress *progress)
{
	__u64 producer = progress->producer & 1;
	struct event *event = bpf_ringbuf_reserve(&stream, sizeof(*event), 0);

	if (!event)
		return 1;
	event->producer = producer;
	event->number = numbers[producer]++;
	event->check = ~event->number;
	bpf_ringbuf_submit(event, 0);
	progress->sent++;
	return 0;
}

/* Sends ctx->count records, or fewer if the ring is full, and returns how many it has sent. */
SEC("raw_tp")
int send_stream(struct args *ctx)
{
	struct progress progress = {.producer = ctx->producer};

	bpf_loop(ctx->count, send_next, &progress, 0);
	return progress.sent;
}

/* The callback of the loop in hold(): ends it at the given time. */
static long is_over(__u32 index, __u64 *end)
{
	return bpf_ktime_get_ns() >= *end;
}

/* Waits for the given nanoseconds, or until bpf_loop() has done its maximum number of rounds. */
static void hold(__u64 time)
{
	__u64 end = bpf_ktime_get_ns() + time;

	bpf_loop(1 << 23, is_over, &end, 0);
}

/* Sends a record that stays reserved for ctx->count nanoseconds before it is submitted. */
SEC("raw_tp")
int send_held(struct args *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&stream, sizeof(*event), 0);

	if (!event)
		return 0;
	hold(ctx->count);
	bpf_ringbuf_submit(event, 0);
	return 1;
}

/* Reserves a record and discards it. */
SEC("raw_tp")
int send_nothing(void *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&stream, sizeof(*event), 0);

	if (event)
		bpf_ringbuf_discard(event, 0);
	return !!event;
}

static bool injected;

/*
 * A breakpoint where the process reads the producer's position: sends a record without a wake-up,
 * once, when the process has read the position and everything up to it.
 */
SEC("perf_event")
int inject(void *ctx)
{
	__u64 consumed = bpf_ringbuf_query(&stream, BPF_RB_CONS_POS);
	struct event event = {.number = 0, .check = ~0ULL};

	if (injected || !consumed || consumed != bpf_ringbuf_query(&stream, BPF_RB_PROD_POS))
		return 0;
	injected = true;
	bpf_ringbuf_output(&stream, &event, sizeof(event), BPF_RB_NO_WAKEUP);
	return 0;
}

/* Two rings. A single record of the ring large is larger than a reader's batch. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} large SEC(".maps"), small SEC(".maps");

struct large_event {
	char bytes[100000];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct large_event);
} source SEC(".maps");

SEC("raw_tp")
int send_one(struct args *ctx)
{
	__u32 zero = 0;
	struct large_event *event = bpf_map_lookup_elem(&source, &zero);

	if (!event)
		return 1;
	if (ctx->count)
		return bpf_ringbuf_output(&large, event, sizeof(*event), 0);
	return bpf_ringbuf_output(&small, event, 8, 0);
}

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf_events SEC(".maps");

/* Sizes of events in words. An event begins with producer and number, and ends with the check. */
#define SMALL_EVENT 3
#define LARGE_EVENT 375
static __u64 perf_buffers[2][LARGE_EVENT];
static __u64 perf_numbers[2];

/*
 * Sends ctx->count events, some of them large, to the CPU's buffer. It returns how many it has
 * sent, including those for which the buffer had no room.
 */
SEC("raw_tp")
int send_perf(struct args *ctx)
{
	__u64 producer = ctx->producer & 1, *event = perf_buffers[producer];
	__u32 i;

	for (i = 0; i < 256 && i < ctx->count; i++) {
		__u64 number = perf_numbers[producer];
		__u32 words = number % 50 == 49 ? LARGE_EVENT : SMALL_EVENT;
		long err;

		event[0] = producer;
		event[1] = number;
		event[words - 1] = ~number;
		err = bpf_perf_event_output(ctx, &perf_events, BPF_F_CURRENT_CPU, event, words * 8);
		if (err && err != -28) /* ENOSPC */
			break;
		perf_numbers[producer]++;
	}
	return i;
}

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct drain_args {
	__u64 limit;
	__u64 time; /* nanoseconds that the callback takes for each sample */
};

static long on_sample(struct bpf_dynptr *sample, struct drain_args *args)
{
	struct event event;

	if (!bpf_dynptr_read(&event, sizeof(event), sample, 0, 0))
		bpf_ringbuf_output(&stream, &event, sizeof(event), 0);
	hold(args->time);
	return --args->limit == 0;
}

/* Moves up to ctx->limit samples to the ring and returns the result of the drain. */
SEC("raw_tp")
int drain_samples(struct drain_args *ctx)
{
	struct drain_args args = {.limit = ctx->limit, .time = ctx->time};

	return bpf_user_ringbuf_drain(&samples, on_sample, &args, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
