/* What the iterators of the selftests share. */
#ifndef SELFTEST_ITER_H
#define SELFTEST_ITER_H

#include "selftest.h"

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

/* Writes a line with a number. */
static inline void print(struct bpf_iter_meta *meta, __u64 n)
{
	static const char format[] = "%llu\n";

	bpf_seq_printf(meta->seq, format, sizeof(format), &n, sizeof(n));
}

#endif
