//go:build ignore

#include "../include/selftest.h"

extern int CONFIG_HZ __kconfig __weak;
extern _Bool CONFIG_SELFTEST __kconfig __weak;

SEC("raw_tp")
int prog(void *ctx)
{
	return CONFIG_HZ * 10 + CONFIG_SELFTEST;
}
