/* The main object of the root package's tests. Its programs run when a process calls getpgid(n). */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

/* A value of 12 bytes: in a per-CPU map, the kernel rounds it up to 16. */
struct three {
	__u32 numbers[3];
};

struct scratch {
	char bytes[8192];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} more_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct three);
} cpu_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

const volatile __u32 target_pid = 0;
/* On average, a discarded record precedes one of this many records; 0 means none. */
const volatile __u32 discard_every = 0;
/* Send records with BPF_RB_NO_WAKEUP. */
const volatile bool no_wakeup = false;

/* The counting programs stop at this number. */
__u64 limit = ~0ULL;

__u64 sent = 0;
__u64 dropped = 0;

struct getpgid_args {
	__u64 common;
	long nr;
	unsigned long pid;
};

static bool is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target_pid;
}

static __u64 next_number(void)
{
	return __sync_fetch_and_add(&sent, 1);
}

static void send_fixed(void *ring)
{
	__u64 flags = no_wakeup ? BPF_RB_NO_WAKEUP : 0;
	__u64 *record;

	if (discard_every && bpf_get_prandom_u32() % discard_every == 0) {
		record = bpf_ringbuf_reserve(ring, sizeof(*record), 0);
		if (record)
			bpf_ringbuf_discard(record, flags);
	}
	record = bpf_ringbuf_reserve(ring, sizeof(*record), 0);
	if (!record) {
		__sync_fetch_and_add(&dropped, 1);
		return;
	}
	*record = next_number();
	bpf_ringbuf_submit(record, flags);
}

static long send_next(__u32 index, void *ctx)
{
	send_fixed(&events);
	return 0;
}

/* Sends n records of 8 bytes. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int send_many(struct getpgid_args *ctx)
{
	if (is_target())
		bpf_loop(ctx->pid, send_next, NULL, 0);
	return 0;
}

/* Sends one record of n bytes. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int send_sized(struct getpgid_args *ctx)
{
	__u32 zero = 0, size = ctx->pid;
	struct scratch *record;

	if (!is_target())
		return 0;
	record = bpf_map_lookup_elem(&scratch, &zero);
	if (!record || size > sizeof(*record))
		return 0;
	__builtin_memset(record, size, 64);
	if (bpf_ringbuf_output(&events, record, size, 0))
		__sync_fetch_and_add(&dropped, 1);
	else
		next_number();
	return 0;
}

/* Sends one record to each of the two rings. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int send_both(void *ctx)
{
	if (!is_target())
		return 0;
	send_fixed(&events);
	send_fixed(&more_events);
	return 0;
}

static void count_one(void)
{
	__u32 key = 1;
	__u64 one = 1, *value;

	if (!is_target())
		return;
	value = bpf_map_lookup_elem(&numbers, &key);
	if (value && *value < limit)
		__sync_fetch_and_add(value, 1);
	else if (!value)
		bpf_map_update_elem(&numbers, &key, &one, BPF_ANY);
}

/* Counts the system calls of the process, up to limit. */
SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	count_one();
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int count_tracepoint(void *ctx)
{
	count_one();
	return 0;
}

static long do_nothing(__u32 index, void *ctx)
{
	return 0;
}

/* Sends a record that stays reserved for n rounds of an empty loop before it is submitted. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int send_slowly(struct getpgid_args *ctx)
{
	__u64 *record;

	if (!is_target())
		return 0;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return 0;
	*record = next_number();
	bpf_loop(ctx->pid, do_nothing, NULL, 0);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
