//go:build ignore

/* Counts the system calls of processes. A user ring buffer has the ids of those to count. */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

/* The process that writes to the user ring buffer. */
const volatile __u32 own_pid = 0;

static long on_command(struct bpf_dynptr *command, void *ctx)
{
	__u64 none = 0;
	__u32 pid;

	if (!bpf_dynptr_read(&pid, sizeof(pid), command, 0, 0))
		bpf_map_update_elem(&counts, &pid, &none, BPF_NOEXIST);
	return 0;
}

SEC("raw_tp/sys_enter")
int on_call(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 *count;

	if (pid == own_pid)
		bpf_user_ringbuf_drain(&commands, on_command, NULL, 0);
	count = bpf_map_lookup_elem(&counts, &pid);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
