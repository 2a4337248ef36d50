package libbpfgo

import (
	"errors"
	"testing"
)

func TestProbes(t *testing.T) {
	needBPF(t)
	for _, test := range []struct {
		what  string
		want  bool
		probe func() (bool, error)
	}{
		{"ring buffers", true, func() (bool, error) { return BPFMapTypeIsSupported(MapTypeRingbuf) }},
		{"hashes", true, func() (bool, error) { return BPFMapTypeIsSupported(MapTypeHash) }},
		{"kprobes", true, func() (bool, error) { return BPFProgramTypeIsSupported(BPFProgTypeKprobe) }},
		{"XDP", true, func() (bool, error) { return BPFProgramTypeIsSupported(BPFProgTypeXdp) }},
		{"redirect in XDP", true, func() (bool, error) { return BPFHelperIsSupported(BPFProgTypeXdp, BPFFuncRedirect) }},
		{"map_lookup_elem in kprobes", true, func() (bool, error) { return BPFHelperIsSupported(BPFProgTypeKprobe, BPFFuncMapLookupElem) }},
		{"skb_store_bytes in XDP", false, func() (bool, error) { return BPFHelperIsSupported(BPFProgTypeXdp, BPFFuncSkbStoreBytes) }},
	} {
		if !test.want && needLibbpf(1, 7, "") != nil {
			continue // an older libbpf may not understand a newer kernel's refusal
		}
		if got, err := test.probe(); got != test.want || err != nil {
			t.Errorf("%s: %v, %v", test.what, got, err)
		}
	}
	got, err := BPFMapTypeIsSupported(9999)
	if got {
		t.Error("maps of an unknown type are supported")
	}
	wantErr(t, err, errors.ErrUnsupported, "probe map type")
	// libbpf can't try a tracing program without something to attach it to.
	_, err = BPFHelperIsSupported(BPFProgTypeTracing, BPFFuncMapLookupElem)
	wantErr(t, err, errors.ErrUnsupported, "map_lookup_elem", "BPF_PROG_TYPE_TRACING")
}
