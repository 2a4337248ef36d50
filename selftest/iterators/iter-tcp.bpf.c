//go:build ignore

#include "../include/iter.h"

struct sock_common {
	__u16 skc_num;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

SEC("iter/tcp")
int prog(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sock = ctx->sk_common;

	if (sock)
		print(ctx->meta, sock->skc_num);
	return 0;
}
