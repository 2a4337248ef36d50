/* Definitions shared by the selftests' programs. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* The id of the selftest's process, set by selftest.Test.Load(). */
const volatile __u32 target_pid = 0;

/* Counters that the programs increase and selftest.Hits() reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

static inline bool is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target_pid;
}

static inline void hit(__u32 key, __u64 n)
{
	__u64 *count = bpf_map_lookup_elem(&hits, &key);

	if (count)
		__sync_fetch_and_add(count, n);
}

/* Counts a call if it was made by the selftest's process. */
static inline int hit_if_target(void)
{
	if (is_target())
		hit(0, 1);
	return 0;
}

/* The same number as selftest.Cookie. */
#define COOKIE 0x1234567812345678

/* Counts a call made by the selftest's process if the program was attached with the cookie. */
static inline int hit_if_cookie(void *ctx)
{
	return bpf_get_attach_cookie(ctx) == COOKIE ? hit_if_target() : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#endif
