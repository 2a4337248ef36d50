//go:build ignore

#include "../include/selftest.h"

SEC("uretprobe")
int BPF_KRETPROBE(prog, int result)
{
	if (is_target() && result == 42)
		hit(0, 1 + bpf_get_attach_cookie(ctx));
	return 0;
}
