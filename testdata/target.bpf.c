/* Programs at functions and a static tracepoint of the file "target" in the working directory. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

SEC("uprobe")
int on_function(void *ctx)
{
	return 0;
}

SEC("?uprobe.multi")
int on_functions(void *ctx)
{
	return 0;
}

SEC("usdt")
int on_tracepoint(void *ctx)
{
	return 0;
}

SEC("uprobe/./target:first+0x4")
int at_function(void *ctx)
{
	return 0;
}

SEC("uretprobe/./target:first@TEST_2")
int at_return(void *ctx)
{
	return 0;
}

SEC("?uprobe.multi/./target:*i*")
int at_functions(void *ctx)
{
	return 0;
}

SEC("usdt/./target:test:probe")
int at_tracepoint(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
