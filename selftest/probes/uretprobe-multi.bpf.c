//go:build ignore

#include "../include/selftest.h"

/* A function's cookie is its result. */
SEC("uretprobe.multi")
int BPF_KRETPROBE(prog, int result)
{
	if (is_target() && bpf_get_attach_cookie(ctx) == result)
		hit(0, result);
	return 0;
}
