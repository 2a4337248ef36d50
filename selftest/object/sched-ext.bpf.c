//go:build ignore

#include "../include/selftest.h"

struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));

struct sched_ext_ops {
	void (*running)(struct task_struct *task);
	int (*init)(void);
	char name[128];
};

SEC("struct_ops/running")
void BPF_PROG(running, struct task_struct *task)
{
	if (task->tgid == target_pid)
		hit(0, 1);
}

SEC("struct_ops.s/init")
int BPF_PROG(init)
{
	return 0;
}

/* It has no functions for queues, so that the kernel's default queue is used. */
SEC(".struct_ops.link")
struct sched_ext_ops scheduler = {
	.running = (void *)running,
	.init = (void *)init,
	.name = "selftest",
};
