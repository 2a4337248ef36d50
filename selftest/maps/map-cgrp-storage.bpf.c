//go:build ignore

#include "../include/storage.h"

struct cgroup;

struct css_set {
	struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));

struct task_struct {
	struct css_set *cgroups;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} elements SEC(".maps");

SEC("tp_btf/sys_enter")
int prog(void *ctx)
{
	struct task_struct *task;

	if (!is_target())
		return 0;
	task = bpf_get_current_task_btf();
	store(bpf_cgrp_storage_get(&elements, task->cgroups->dfl_cgrp, 0,
				   BPF_LOCAL_STORAGE_GET_F_CREATE));
	return 0;
}
