//go:build ignore

/* The programs that fill the benchmark's buffers. They are run by BPF_PROG_TEST_RUN. */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#define RING(name, size)                                                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                \
		__uint(max_entries, size);                                                         \
	} name SEC(".maps")

RING(ring0, 16 * 1024 * 1024);
RING(ring1, 1024 * 1024);
RING(ring2, 1024 * 1024);
RING(ring3, 1024 * 1024);
RING(ring4, 1024 * 1024);
RING(ring5, 1024 * 1024);
RING(ring6, 1024 * 1024);
RING(ring7, 1024 * 1024);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} user SEC(".maps");

struct raw_args {
	__u64 count;
};

static __u64 sent = 0;

/*
 * ring_N sends ctx->count events of N bytes to ring0, or fewer if the ring is full, and returns how
 * many it has sent. An event begins with its number and the time.
 */
#define RING_PROGRAM(size)                                                                         \
	static long send_##size(__u32 index, __u32 *taken)                                         \
	{                                                                                          \
		__u64 *event = bpf_ringbuf_reserve(&ring0, size, 0);                               \
                                                                                                   \
		if (!event)                                                                        \
			return 1;                                                                  \
		event[0] = __sync_fetch_and_add(&sent, 1);                                         \
		event[1] = bpf_ktime_get_ns();                                                     \
		bpf_ringbuf_submit(event, 0);                                                      \
		++*taken;                                                                          \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	SEC("raw_tp")                                                                              \
	int ring_##size(struct raw_args *ctx)                                                      \
	{                                                                                          \
		__u32 taken = 0;                                                                   \
                                                                                                   \
		bpf_loop(ctx->count, send_##size, &taken, 0);                                      \
		return taken;                                                                      \
	}

RING_PROGRAM(16)
RING_PROGRAM(64)
RING_PROGRAM(512)
RING_PROGRAM(4096)

static int send_to(void *ring)
{
	__u64 *event = bpf_ringbuf_reserve(ring, 64, 0);

	if (!event)
		return 0;
	event[0] = __sync_fetch_and_add(&sent, 1);
	bpf_ringbuf_submit(event, 0);
	return 1;
}

static long send_all(__u32 index, __u32 *taken)
{
	*taken += send_to(&ring0) + send_to(&ring1) + send_to(&ring2) + send_to(&ring3) +
		  send_to(&ring4) + send_to(&ring5) + send_to(&ring6) + send_to(&ring7);
	return 0;
}

/* Sends ctx->count events of 64 bytes to each of the rings. */
SEC("raw_tp")
int rings_64(struct raw_args *ctx)
{
	__u32 taken = 0;

	bpf_loop(ctx->count, send_all, &taken, 0);
	return taken;
}

/* perf_N sends up to 4,096 events of N bytes. The kernel pads each by 4 bytes. */
#define PERF_PROGRAM(size)                                                                         \
	SEC("raw_tp")                                                                              \
	int perf_##size(struct raw_args *ctx)                                                      \
	{                                                                                          \
		__u64 event[size / 8] = {};                                                        \
		__u32 taken = 0, i, count = ctx->count;                                            \
                                                                                                   \
		for (i = 0; i < 4096 && i < count; i++) {                                          \
			event[0] = __sync_fetch_and_add(&sent, 1);                                 \
			event[1] = bpf_ktime_get_ns();                                             \
			if (!bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, event, size))    \
				taken++;                                                           \
		}                                                                                  \
		return taken;                                                                      \
	}

PERF_PROGRAM(16)
PERF_PROGRAM(64)

struct large_event {
	__u64 words[512];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct large_event);
} large SEC(".maps");

/* Events that are larger than a program's stack are built in a map. */
#define LARGE_PERF_PROGRAM(size)                                                                   \
	SEC("raw_tp")                                                                              \
	int perf_##size(struct raw_args *ctx)                                                      \
	{                                                                                          \
		__u32 zero = 0, taken = 0, i, count = ctx->count;                                  \
		struct large_event *event = bpf_map_lookup_elem(&large, &zero);                    \
                                                                                                   \
		if (!event)                                                                        \
			return 0;                                                                  \
		for (i = 0; i < 4096 && i < count; i++) {                                          \
			event->words[0] = __sync_fetch_and_add(&sent, 1);                          \
			event->words[1] = bpf_ktime_get_ns();                                      \
			if (!bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, event, size))    \
				taken++;                                                           \
		}                                                                                  \
		return taken;                                                                      \
	}

LARGE_PERF_PROGRAM(512)
LARGE_PERF_PROGRAM(4096)

static long on_sample(struct bpf_dynptr *sample, void *ctx)
{
	return 0;
}

/* Drains the user ring buffer and returns the number of samples. */
SEC("raw_tp")
int drain(struct raw_args *ctx)
{
	return bpf_user_ringbuf_drain(&user, on_sample, NULL, BPF_RB_NO_WAKEUP);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
