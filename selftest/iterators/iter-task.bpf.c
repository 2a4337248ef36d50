//go:build ignore

#include "../include/iter.h"

struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int prog(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		print(ctx->meta, task->tgid);
	return 0;
}
