/* What the programs share that store something with an object of the kernel's. */
#ifndef SELFTEST_STORAGE_H
#define SELFTEST_STORAGE_H

#include "selftest.h"

/* Stores 7, and counts if the process has stored 1000, as selftest.Storage() wants it. */
static inline void store(__u64 *value)
{
	if (value && *value == 1000)
		hit(0, 1);
	else if (value)
		*value = 7;
}

#endif
