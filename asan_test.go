//go:build asan

package libbpfgo

const (
	// With the address sanitizer, freed memory stays resident for a while, and leaks are its own matter.
	residentMemoryTells = false
	// cgo has the sanitizer check what C is given, which lets it escape.
	argumentsStayOnTheStack = false
)
