//go:build ignore

#include "../include/selftest.h"

SEC("kretprobe")
int BPF_KRETPROBE(prog, int result)
{
	if (is_target() && result == -3) /* ESRCH */
		hit(0, 1);
	return 0;
}
