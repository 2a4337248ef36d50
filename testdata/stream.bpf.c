//go:build ignore

/* Numbered records, events and samples, by several producers at once. The programs are run by
 * BPF_PROG_TEST_RUN. */
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
	__u64 producer; /* 0 or 1, for one thread at a time */
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

/* Sends so many records, as far as there is room, and returns how many there was room for. */
SEC("raw_tp")
int send_stream(struct args *ctx)
{
	struct progress progress = {.producer = ctx->producer};

	bpf_loop(ctx->count, send_next, &progress, 0);
	return progress.sent;
}

/* Lasts so many nanoseconds, but no longer than a loop does. */
static long is_over(__u32 index, __u64 *end)
{
	return bpf_ktime_get_ns() >= *end;
}

static void hold(__u64 time)
{
	__u64 end = bpf_ktime_get_ns() + time;

	bpf_loop(1 << 23, is_over, &end, 0);
}

/* Sends a record that stays reserved for as many nanoseconds as the argument says. */
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

/* Two rings, and records of which one fills more than a batch. */
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

/* Producer and number at the beginning, the check at the end. */
#define SMALL_EVENT 3
#define LARGE_EVENT 375
static __u64 perf_buffers[2][LARGE_EVENT];
static __u64 perf_numbers[2];

/*
 * Sends so many events, of which some are large, to the buffer of the CPU, and returns how many
 * there were, with those that it had no room for.
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
	__u64 time; /* that each sample takes, in nanoseconds */
};

static long on_sample(struct bpf_dynptr *sample, struct drain_args *args)
{
	struct event event;

	if (!bpf_dynptr_read(&event, sizeof(event), sample, 0, 0))
		bpf_ringbuf_output(&stream, &event, sizeof(event), 0);
	hold(args->time);
	return --args->limit == 0;
}

/* Moves so many samples to the ring, and returns what the drain gives. */
SEC("raw_tp")
int drain_samples(struct drain_args *ctx)
{
	struct drain_args args = {.limit = ctx->limit, .time = ctx->time};

	return bpf_user_ringbuf_drain(&samples, on_sample, &args, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
