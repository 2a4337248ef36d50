//go:build ignore

#include "../include/selftest.h"

struct arguments {
	__u64 size;
	__s64 fd;
};

SEC("syscall")
int prog(struct arguments *ctx)
{
	union bpf_attr attr = {};

	hit(0, 1);
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = ctx->size;
	attr.max_entries = 1;
	ctx->fd = bpf_sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	return 7;
}
