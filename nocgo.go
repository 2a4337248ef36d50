//go:build !cgo || !linux

package libbpfgo

// Without cgo or Linux, this line is the compiler's only error. Go turns cgo off by itself if PATH has
// no C compiler, or if it builds for another architecture.
const _ = -"libbpfgo needs Linux and cgo: set CGO_ENABLED=1 and CC to a C compiler"
