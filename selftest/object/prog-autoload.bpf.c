//go:build ignore

#include "../include/selftest.h"

SEC("raw_tp")
int prog(void *ctx)
{
	return 5;
}

/* Reads from an invalid address: the verifier rejects it. */
SEC("raw_tp")
int refused(void *ctx)
{
	return *(int *)0x1234;
}
