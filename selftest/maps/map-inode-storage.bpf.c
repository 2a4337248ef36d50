//go:build ignore

#include "../include/storage.h"

struct inode;

struct file {
	struct inode *f_inode;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} elements SEC(".maps");

SEC("lsm/file_open")
int BPF_PROG(prog, struct file *file)
{
	if (is_target())
		store(bpf_inode_storage_get(&elements, file->f_inode, 0,
					    BPF_LOCAL_STORAGE_GET_F_CREATE));
	return 0;
}
