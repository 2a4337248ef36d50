/* Reads a value of the kernel's configuration and, with CO-RE, a field of a kernel type. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

extern int CONFIG_LIBBPFGO_TEST __kconfig __weak;

__u64 seen = 0;
int pid = 0;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int read_config(void *ctx)
{
	seen = CONFIG_LIBBPFGO_TEST;
	pid = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), pid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
