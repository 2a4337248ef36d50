//go:build ignore

#include "../include/selftest.h"

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	hit(0, 1);
	if (data + 14 > end)
		return XDP_ABORTED;
	data[0] = data[13] + 1;
	return XDP_TX;
}
