//go:build ignore

#include "../include/selftest.h"

SEC("sk_lookup")
int prog(struct bpf_sk_lookup *ctx)
{
	hit(0, 1);
	return SK_PASS;
}
