//go:build ignore

#include "../include/selftest.h"

SEC("fmod_ret/security_task_getpgid")
int BPF_PROG(prog, void *task, int result)
{
	if (!is_target())
		return result;
	hit(0, 1);
	return -13; /* EACCES */
}
