//go:build ignore

#include "../include/selftest.h"

SEC("fexit/bpf_fentry_test1")
int BPF_PROG(prog, int a, int result)
{
	if (a == 1 && result == 2)
		hit_if_target();
	return 0;
}
