//go:build ignore

#include "../include/congestion.h"

SEC("struct_ops/init")
void BPF_PROG(init, struct sock *sk)
{
	hit(0, 1);
}

SEC(".struct_ops")
struct tcp_congestion_ops congestion = {
	.init = (void *)init,
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "bpf_selftest",
};
