//go:build !asan

package libbpfgo

const residentMemoryTells = true
