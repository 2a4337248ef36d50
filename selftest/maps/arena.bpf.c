//go:build ignore

#include "../include/selftest.h"

/* The address of the arena in the process. */
const volatile __u64 address = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* pages */
} arena SEC(".maps");

SEC("tp/syscalls/sys_enter_getpgid")
int prog(void *ctx)
{
	__u64 *number;

	if (!is_target())
		return 0;
	/*
	 * The encoded instruction is r1 = addr_space_cast(r1, 0, 1), which Clang knows since
	 * version
	 * 19. The operand &arena isn't used: the program must reference its arena.
	 */
	asm volatile("r1 = %1;"
		     ".byte 0xbf, 0x11, 1, 0, 1, 0, 0, 0;"
		     "%0 = r1"
		     : "=r"(number)
		     : "r"(address), "r"(&arena)
		     : "r1");
	*number += 1;
	hit(0, 1);
	return 0;
}
