/* A program for each kind of attachment. Each counts its calls at its own key. */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

enum key {
	UPROBE,
	URETPROBE,
	COOKIE,
	PERF_EVENT,
	XDP,
	CGROUP,
	NETNS,
	ITER,
	KPROBE,
	UPROBE_MULTI,
	TC,
	SKB,
	TCX,
	MSG,
	NETFILTER,
	ADDRESS, /* not a count: where the last uprobe was hit */
	KEYS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

static void add(__u32 key, __u64 n)
{
	__u64 *value = bpf_map_lookup_elem(&calls, &key);

	if (value)
		__sync_fetch_and_add(value, n);
}

static void hit_at(struct pt_regs *ctx)
{
	__u32 key = ADDRESS;
	__u64 address = PT_REGS_IP(ctx);

	bpf_map_update_elem(&calls, &key, &address, BPF_ANY);
}

SEC("uprobe")
int on_uprobe(struct pt_regs *ctx)
{
	hit_at(ctx);
	add(UPROBE, 1);
	return 0;
}

SEC("uretprobe")
int on_uretprobe(void *ctx)
{
	add(URETPROBE, 1);
	return 0;
}

SEC("uprobe")
int on_cookie(void *ctx)
{
	add(COOKIE, bpf_get_attach_cookie(ctx));
	return 0;
}

SEC("?uprobe.multi")
int on_uprobe_multi(struct pt_regs *ctx)
{
	hit_at(ctx);
	add(UPROBE_MULTI, bpf_get_attach_cookie(ctx));
	return 0;
}

SEC("perf_event")
int on_perf_event(struct bpf_perf_event_data *ctx)
{
	add(COOKIE, bpf_get_attach_cookie(ctx));
	add(PERF_EVENT, 1);
	return 0;
}

SEC("xdp")
int on_xdp(struct xdp_md *ctx)
{
	add(XDP, 1);
	return XDP_PASS;
}

SEC("cgroup/connect4")
int on_connect(struct bpf_sock_addr *ctx)
{
	add(CGROUP, 1);
	return 1;
}

SEC("sk_lookup")
int on_lookup(struct bpf_sk_lookup *ctx)
{
	add(NETNS, 1);
	return SK_PASS;
}

struct bpf_iter__bpf_map_elem {
	void *key;
	void *value;
} __attribute__((preserve_access_index));

SEC("iter/bpf_map_elem")
int on_element(struct bpf_iter__bpf_map_elem *ctx)
{
	if (ctx->key)
		add(ITER, 1);
	return 0;
}

SEC("kprobe")
int on_kprobe(struct pt_regs *ctx)
{
	hit_at(ctx);
	add(COOKIE, bpf_get_attach_cookie(ctx));
	add(KPROBE, 1);
	return 0;
}

SEC("?kprobe.multi")
int on_kprobe_multi(struct pt_regs *ctx)
{
	hit_at(ctx);
	add(COOKIE, bpf_get_attach_cookie(ctx));
	add(KPROBE, 1);
	return 0;
}

SEC("?iter/task")
int on_task(void *ctx)
{
	return 0;
}

SEC("?iter/cgroup")
int on_group(void *ctx)
{
	return 0;
}

/* Returns the CPU, and beside it the first byte of the context. */
SEC("raw_tp")
int on_run(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_smp_processor_id() << 8 | (ctx->args[0] & 0xff);
}

SEC("tc")
int on_packet(struct __sk_buff *skb)
{
	add(TC, 1);
	return 0; /* TC_ACT_OK */
}

SEC("cgroup/skb")
int on_skb(struct __sk_buff *skb)
{
	add(SKB, 1);
	return 1;
}

SEC("?tcx/egress")
int on_tcx(struct __sk_buff *skb)
{
	add(TCX, 1);
	return TCX_NEXT;
}

SEC("?netkit/primary")
int on_netkit(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

SEC("?netfilter")
int on_netfilter(void *ctx)
{
	add(NETFILTER, 1);
	return 1; /* NF_ACCEPT */
}

struct locked {
	struct bpf_spin_lock lock;
	__u32 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} locked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("sk_msg")
int on_message(struct sk_msg_md *message)
{
	add(MSG, 1);
	return SK_PASS;
}

SEC("tracepoint")
int on_tracepoint(void *ctx)
{
	add(COOKIE, bpf_get_attach_cookie(ctx));
	return 0;
}

SEC("raw_tp")
int on_raw_tracepoint(void *ctx)
{
	add(COOKIE, bpf_get_attach_cookie(ctx));
	return 0;
}

SEC("tp_btf/sys_enter")
int on_trace(void *ctx)
{
	add(COOKIE, bpf_get_attach_cookie(ctx));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
