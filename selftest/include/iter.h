/* Definitions shared by the selftests' iterators. */
#ifndef SELFTEST_ITER_H
#define SELFTEST_ITER_H

#include "selftest.h"

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

/* Writes a number as one line of the iterator's output. */
static inline void print(struct bpf_iter_meta *meta, __u64 n)
{
	static const char format[] = "%llu\n";

	bpf_seq_printf(meta->seq, format, sizeof(format), &n, sizeof(n));
}

#endif
