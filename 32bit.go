//go:build 386 || arm || mips || mipsle

package libbpfgo

// On 32-bit processors, this is the compiler's only error: cgo reads this file first and stops there. The package
// passes addresses to C and to the kernel as 64-bit values.

// #error "libbpfgo needs a 64-bit processor"
import "C"
