//go:build ignore

#include "../include/selftest.h"

/* The cookie of each function is the result that it returns. */
SEC("uretprobe.multi")
int BPF_KRETPROBE(prog, int result)
{
	if (is_target() && bpf_get_attach_cookie(ctx) == result)
		hit(0, result);
	return 0;
}
