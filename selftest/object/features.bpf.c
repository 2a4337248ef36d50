//go:build ignore

#include "../include/selftest.h"

SEC("raw_tp")
int prog(void *ctx)
{
	return 0;
}
