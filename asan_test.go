//go:build asan

package libbpfgo

// With the address sanitizer, freed memory stays resident for a while, and leaks are its own matter.
const residentMemoryTells = false
