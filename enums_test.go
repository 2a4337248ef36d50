package libbpfgo

import (
	"strings"
	"testing"
)

// libbpf has names of its own for the values: they are the header's, in lower case and without the
// prefix.
func TestEnumerationsAgreeWithLibbpf(t *testing.T) {
	check := func(value uint32, name, prefix, libbpfName string) {
		t.Helper()
		if libbpfName == "" {
			// An older libbpf doesn't know it yet; 1.7 does.
			if needLibbpf(1, 7, "") == nil {
				t.Errorf("libbpf doesn't know %d, %s", value, name)
			}
			return
		}
		got := strings.ToLower(strings.TrimPrefix(name, prefix))
		// libbpf leaves out what says that a map type is deprecated, as the constants do.
		if got != libbpfName {
			t.Errorf("%d is %q, libbpf says %q", value, name, libbpfName)
		}
	}
	for v := range MapType(len(namesMapType)) {
		check(uint32(v), v.String(), "BPF_MAP_TYPE_", v.Name())
	}
	for v := range BPFProgType(len(namesBPFProgType)) {
		check(uint32(v), v.String(), "BPF_PROG_TYPE_", v.Name())
	}
	for v := range BPFAttachType(len(namesBPFAttachType)) {
		check(uint32(v), v.String(), "BPF_", v.Name())
	}
	for v := range BPFLinkType(len(namesBPFLinkType)) {
		check(uint32(v), v.String(), "BPF_LINK_TYPE_", v.Name())
	}
}

func TestEnumerationStrings(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{MapTypeRingbuf.String(), "BPF_MAP_TYPE_RINGBUF"},
		{MapType(9999).String(), "BPF_MAP_TYPE_UNSPEC"},
		{BPFProgTypeKprobe.String(), "BPF_PROG_TYPE_KPROBE"},
		{BPFProgType(9999).String(), "BPF_PROG_TYPE_UNSPEC"},
		{BPFAttachTypeTraceFentry.String(), "BPF_TRACE_FENTRY"},
		{BPFAttachType(9999).String(), "BPFAttachType unspecified"},
		{BPFLinkTypeTracing.String(), "BPF_LINK_TYPE_TRACING"},
		{BPFFuncMapLookupElem.String(), "map_lookup_elem"},
		{BPFFunc(9999).String(), "unspec"},
		{MapType(9999).Name(), ""},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	if BPFFuncUserRingbufDrain != 209 || BPFFuncUserRingbufDrain.Value() != 209 || BPFProgTypeNetfilter.Value() != 32 {
		t.Error(BPFFuncUserRingbufDrain, BPFProgTypeNetfilter.Value())
	}
}
