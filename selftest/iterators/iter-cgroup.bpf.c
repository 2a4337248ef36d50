//go:build ignore

#include "../include/iter.h"

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

SEC("iter/cgroup")
int prog(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;

	if (cgroup)
		print(ctx->meta, cgroup->kn->id);
	return 0;
}

/* Returns 1 if the kernel supports the order BPF_CGROUP_ITER_CHILDREN. */
SEC("raw_tp")
int has_children(void *ctx)
{
	return bpf_core_enum_value_exists(enum bpf_cgroup_iter_order, BPF_CGROUP_ITER_CHILDREN);
}
