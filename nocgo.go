//go:build !cgo || !linux

package libbpfgo

// Without cgo or Linux, this line is the only error that the compiler reports. Go disables cgo by itself if PATH has
// no C compiler, or when it builds for another architecture.
const _ = -"libbpfgo needs Linux and cgo: set CGO_ENABLED=1 and CC to a C compiler"
