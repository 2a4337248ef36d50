//go:build ignore

/* Counts the calls of getpgid(n) by one process, in maps of several types. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct caller {
	__u32 argument;
	char command[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct caller);
	__type(value, __u64);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} sizes SEC(".maps");

struct times {
	__u64 count;
	__u32 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16);
	__type(key, __u8);
	__type(value, struct times);
} parity SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u16);
	__type(value, __u32);
} recent SEC(".maps");

const volatile __u32 target_pid = 0;

struct getpgid_args {
	__u64 common;
	long nr;
	unsigned long pid;
};

static __u32 log2_of(__u32 n)
{
	__u32 i;

	for (i = 0; i < 7 && n > 1; i++)
		n >>= 1;
	return i;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int count(struct getpgid_args *ctx)
{
	__u32 n = ctx->pid, bucket = log2_of(n);
	struct caller caller = {.argument = n};
	struct times *times, first = {};
	__u64 one = 1, *calls_of, *size;
	__u16 key = n;
	__u8 odd = n & 1;

	if (bpf_get_current_pid_tgid() >> 32 != target_pid)
		return 0;
	bpf_get_current_comm(caller.command, sizeof(caller.command));
	calls_of = bpf_map_lookup_elem(&calls, &caller);
	if (calls_of)
		__sync_fetch_and_add(calls_of, 1);
	else
		bpf_map_update_elem(&calls, &caller, &one, BPF_ANY);

	size = bpf_map_lookup_elem(&sizes, &bucket);
	if (size)
		*size += 1;

	bpf_map_update_elem(&parity, &odd, &first, BPF_NOEXIST);
	times = bpf_map_lookup_elem(&parity, &odd);
	if (times) {
		times->count++;
		times->last = n;
	}
	bpf_map_update_elem(&recent, &key, &n, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
