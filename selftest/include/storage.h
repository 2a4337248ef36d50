/* Shared by the programs that use a local storage map: its elements belong to kernel objects. */
#ifndef SELFTEST_STORAGE_H
#define SELFTEST_STORAGE_H

#include "selftest.h"

/* Counts if the process has stored 1000, and stores 7 otherwise. selftest.Storage() checks both. */
static inline void store(__u64 *value)
{
	if (value && *value == 1000)
		hit(0, 1);
	else if (value)
		*value = 7;
}

#endif
