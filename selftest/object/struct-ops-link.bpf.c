//go:build ignore

#include "../include/congestion.h"

SEC("struct_ops/init")
void BPF_PROG(init_first, struct sock *sk)
{
	hit(0, 1);
}

SEC("struct_ops/init")
void BPF_PROG(init_second, struct sock *sk)
{
	hit(1, 1);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops first = {
	.init = (void *)init_first,
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "bpf_selftest",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops second = {
	.init = (void *)init_second,
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "bpf_selftest",
};
