//go:build ignore

/* Sends an event for each program that a process executes, and one when that process ends. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The fields of kernel types that are read. CO-RE finds their offsets in the running kernel. */
#define KERNEL_TYPE __attribute__((preserve_access_index))

struct qstr {
	const unsigned char *name;
} KERNEL_TYPE;

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
} KERNEL_TYPE;

struct vfsmount {
	struct dentry *mnt_root;
} KERNEL_TYPE;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
} KERNEL_TYPE;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL_TYPE;

struct fs_struct {
	struct path root;
	struct path pwd;
} KERNEL_TYPE;

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
} KERNEL_TYPE;

struct signal_struct {
	struct {
		int counter;
	} live;
	int group_exit_code;
	unsigned int flags;
} KERNEL_TYPE;

struct task_struct {
	int tgid;
	int exit_code;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct signal_struct *signal;
	char comm[16];
} KERNEL_TYPE;

struct linux_binprm {
	const char *filename;
} KERNEL_TYPE;

#define SIGNAL_GROUP_EXIT 4

#define MAX_FILE 4096
#define MAX_NAME 256
#define MAX_DEPTH 64
#define MAX_ARGS 8192

enum event_type {
	EVENT_EXEC = 1,
	EVENT_EXIT = 2,
};

enum exec_flags {
	CWD_TRUNCATED = 1,
	ARGS_TRUNCATED = 2,
	ARGS_UNREADABLE = 4,
};

/* The events, which event.go decodes. All times are nanoseconds of CLOCK_BOOTTIME. */
struct event {
	__u32 type;
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u64 time;
	char comm[16];
};

struct exit_event {
	struct event common;
	__u64 duration;
	__u32 status;
	__u32 pad;
};

/*
 * data has three parts: the file name with its zero byte; if that is relative, the names of the
 * working directory and its parents, innermost first, each with its zero byte; and the arguments,
 * copied from the process's memory.
 */
struct exec_event {
	struct event common;
	__u32 flags;
	__u32 file_size;
	__u32 cwd_size;
	__u32 args_size;
	char data[MAX_FILE + MAX_FILE + MAX_ARGS];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

/* An event that is being built. It is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_event);
} scratch SEC(".maps");

/* The time of the last execution of each running process, by process id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} started SEC(".maps");

/* The number of events that were sent, and of those for which the ring had no room. */
__u64 sent = 0;
__u64 dropped = 0;

static void send(void *event, __u64 size)
{
	if (bpf_ringbuf_output(&events, event, size, 0))
		__sync_fetch_and_add(&dropped, 1);
	else
		__sync_fetch_and_add(&sent, 1);
}

static void fill_common(struct event *e, struct task_struct *task, __u32 type)
{
	e->type = type;
	e->pid = BPF_CORE_READ(task, tgid);
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->uid = bpf_get_current_uid_gid();
	e->time = bpf_ktime_get_boot_ns();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
}

/*
 * Appends the names from a task's working directory up to its root. The size so far is kept in the
 * event and not in a register: the verifier follows every path through the loop, and would follow
 * each path again for every size in a register.
 */
static void append_cwd(struct exec_event *e, struct task_struct *task)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct dentry *root = BPF_CORE_READ(fs, root.dentry);
	struct vfsmount *root_mnt = BPF_CORE_READ(fs, root.mnt);
	struct dentry *dentry = BPF_CORE_READ(fs, pwd.dentry);
	struct vfsmount *mnt = BPF_CORE_READ(fs, pwd.mnt);
	volatile __u32 *cwd_size = &e->cwd_size;

	for (int i = 0; i < MAX_DEPTH; i++) {
		struct dentry *parent;
		__u32 offset;
		long n;

		if (dentry == root && mnt == root_mnt)
			return;
		if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
			/* This is the root of a mount: continue at its mount point. */
			struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
			struct mount *up = BPF_CORE_READ(m, mnt_parent);

			if (up == m)
				return;
			dentry = BPF_CORE_READ(m, mnt_mountpoint);
			mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry)
			return;
		offset = e->file_size + *cwd_size;
		if (offset > 2 * MAX_FILE - MAX_NAME)
			break;
		n = bpf_probe_read_kernel_str(e->data + offset, MAX_NAME,
					      BPF_CORE_READ(dentry, d_name.name));
		if (n < 0)
			break;
		*cwd_size += n;
		dentry = parent;
	}
	e->flags |= CWD_TRUNCATED;
}

SEC("raw_tp/sched_process_exec")
int handle_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct linux_binprm *bprm = (void *)ctx->args[2];
	unsigned long arg_start, arg_end, args_size;
	struct exec_event *e;
	__u32 zero = 0, size;
	long n;

	e = bpf_map_lookup_elem(&scratch, &zero);
	if (!e)
		return 0;
	fill_common(&e->common, task, EVENT_EXEC);
	e->flags = 0;
	e->cwd_size = 0;

	n = bpf_probe_read_kernel_str(e->data, MAX_FILE, BPF_CORE_READ(bprm, filename));
	if (n < 1 || n > MAX_FILE) {
		e->data[0] = 0;
		n = 1;
	}
	e->file_size = n;
	if (e->data[0] != '/')
		append_cwd(e, task);

	arg_start = BPF_CORE_READ(task, mm, arg_start);
	arg_end = BPF_CORE_READ(task, mm, arg_end);
	args_size = arg_end - arg_start;
	if (args_size > MAX_ARGS) {
		args_size = MAX_ARGS;
		e->flags |= ARGS_TRUNCATED;
	}
	size = e->file_size + e->cwd_size;
	if (size > 2 * MAX_FILE)
		return 0;
	if (bpf_probe_read_user(e->data + size, args_size, (void *)arg_start)) {
		e->flags |= ARGS_UNREADABLE;
		args_size = 0;
	}
	e->args_size = args_size;

	bpf_map_update_elem(&started, &e->common.pid, &e->common.time, BPF_ANY);
	send(e, offsetof(struct exec_event, data) + size + args_size);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int handle_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct exit_event e = {};
	__u64 *start;

	/* Send the event when the last thread of the process exits. */
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return 0;
	fill_common(&e.common, task, EVENT_EXIT);
	start = bpf_map_lookup_elem(&started, &e.common.pid);
	if (!start)
		return 0;
	e.duration = e.common.time - *start;
	bpf_map_delete_elem(&started, &e.common.pid);
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		e.status = BPF_CORE_READ(task, signal, group_exit_code);
	else
		e.status = BPF_CORE_READ(task, group_leader, exit_code);
	send(&e, sizeof(e));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
