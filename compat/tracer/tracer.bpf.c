//go:build ignore

/* Sends events of one process to two ring buffers and a perf buffer, and counts its calls. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

const volatile __u32 target_pid = 0;

struct call {
	__u32 argument;
	__u32 number;
	char command[16];
};

struct connection {
	__u32 address;
	__u16 port;
	__u16 family;
};

struct getpgid_args {
	__u64 common;
	long nr;
	unsigned long pid;
};

static int is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target_pid;
}

static __u64 count(__u32 key)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &key);

	return n ? __sync_fetch_and_add(n, 1) : 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_call(struct getpgid_args *ctx)
{
	struct call call = {.argument = ctx->pid};

	if (!is_target())
		return 0;
	call.number = count(0);
	bpf_get_current_comm(call.command, sizeof(call.command));
	bpf_ringbuf_output(&calls, &call, sizeof(call), 0);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &call, sizeof(call));
	return 0;
}

SEC("cgroup/connect4")
int on_connect(struct bpf_sock_addr *ctx)
{
	struct connection *c;

	if (!is_target())
		return 1;
	c = bpf_ringbuf_reserve(&connections, sizeof(*c), 0);
	if (!c)
		return 1;
	c->address = ctx->user_ip4;
	c->port = bpf_ntohs(ctx->user_port);
	c->family = ctx->family;
	bpf_ringbuf_submit(c, 0);
	return 1;
}

SEC("kprobe/do_getpgid")
int on_kernel_function(void *ctx)
{
	if (is_target())
		count(1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
