/* Has each kind of data in an object that libbpf doesn't check. It isn't meant to be loaded. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	unsigned int in_execve : 1;
} __attribute__((preserve_access_index));

struct tcp_congestion_ops {
	void (*init)(void *sk);
	char name[16];
};

extern char CONFIG_DEFAULT_HOSTNAME[64] __kconfig __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} maps_of_it SEC(".maps") = {.values = {&first}};

int on_call(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} progs_of_it SEC(".maps") = {.values = {(void *)&on_call}};

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 100); /* pages */
} arena SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} hash SEC(".maps");

int in_arena[40960] SEC(".addr_space.1") = {1};

SEC("struct_ops/init")
void on_init(void *ctx)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops ops = {.init = (void *)on_init, .name = "parts"};

typedef const volatile __u64 number;
number variable = 1;

static __attribute__((noinline)) int called(struct task_struct *task)
{
	return BPF_CORE_READ(task, pid) + BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

SEC("raw_tp")
int on_call(void *ctx)
{
	__u32 key = 0;
	__u32 *value = bpf_map_lookup_elem(&hash, &key);

	if (value)
		*value = in_arena[0] + variable + CONFIG_DEFAULT_HOSTNAME[0];
	if (bpf_rcu_read_lock)
		bpf_rcu_read_lock();
	bpf_map_lookup_elem(&arena, &key);
	return called((struct task_struct *)bpf_get_current_task());
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
