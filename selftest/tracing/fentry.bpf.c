//go:build ignore

#include "../include/selftest.h"

SEC("fentry/bpf_fentry_test1")
int BPF_PROG(prog, int a)
{
	if (a == 1)
		hit_if_target();
	return 0;
}
