//go:build ignore

#include "../include/selftest.h"

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} first SEC(".maps"), second SEC(".maps");

static void send(void *ring, __u64 number)
{
	bpf_ringbuf_output(ring, &number, sizeof(number), 0);
}

/* Sends 100 numbers to each ring. */
SEC("raw_tp")
int prog(void *ctx)
{
	static __u64 next = 0;
	int i;

	for (i = 0; i < 100; i++) {
		send(&first, next);
		send(&second, ~next);
		next++;
	}
	return 0;
}
