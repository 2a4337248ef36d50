package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import "fmt"

// BPFProgramTypeIsSupported tells whether the running kernel can load programs of a type, by loading
// one. It needs the rights to do that.
//
// Implements: libbpf_probe_bpf_prog_type
func BPFProgramTypeIsSupported(progType BPFProgType) (bool, error) {
	return probe(fmt.Sprintf("probe program type %v", progType), func() C.int {
		return C.libbpf_probe_bpf_prog_type(C.enum_bpf_prog_type(progType), nil)
	})
}

// BPFMapTypeIsSupported tells whether the running kernel can create maps of a type, by creating one.
// It needs the rights to do that.
//
// Implements: libbpf_probe_bpf_map_type
func BPFMapTypeIsSupported(mapType MapType) (bool, error) {
	return probe(fmt.Sprintf("probe map type %v", mapType), func() C.int {
		return C.libbpf_probe_bpf_map_type(C.enum_bpf_map_type(mapType), nil)
	})
}

// BPFHelperIsSupported tells whether programs of a type can call a helper function on the running
// kernel, by loading one that does. Without the rights to load it, and for the types of programs that
// can't be tried so (tracing, extensions, LSM, struct_ops), the answer is an error or true.
//
// Implements: libbpf_probe_bpf_helper
func BPFHelperIsSupported(progType BPFProgType, funcId BPFFunc) (bool, error) {
	return probe(fmt.Sprintf("probe helper function %v of program type %v", funcId, progType), func() C.int {
		return C.libbpf_probe_bpf_helper(C.enum_bpf_prog_type(progType), C.enum_bpf_func_id(funcId), nil)
	})
}

func probe(what string, call func() C.int) (bool, error) {
	var result C.int
	err := watched(what, func() error {
		result = call()
		return codeOf(result)
	})
	return result == 1, err
}
