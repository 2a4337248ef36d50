//go:build ignore

#include "../include/selftest.h"

SEC("raw_tp")
int prog(void *ctx)
{
	return 5;
}

/* Reads where nothing is. */
SEC("raw_tp")
int refused(void *ctx)
{
	return *(int *)0x1234;
}
