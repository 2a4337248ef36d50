//go:build ignore

#include "../include/selftest.h"

struct file;

SEC("lsm/file_open")
int BPF_PROG(prog, struct file *file)
{
	if (!is_target())
		return 0;
	hit(0, 1);
	return -1; /* EPERM */
}
