//go:build ignore

#include "../include/selftest.h"

const volatile __u32 constant = 1;
__u64 variable = 2;
struct pair {
	__u32 first, second;
} pair = {3, 4};
__u32 result;

SEC("raw_tp")
int prog(void *ctx)
{
	result = constant + variable + pair.first * pair.second;
	return result;
}
