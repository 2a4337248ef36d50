package main

import (
	bpf "github.com/aquasecurity/libbpfgo"
)

// A named value of an enumeration.
type named interface {
	String() string
	Name() string
}

// names shows the names of a range of values.
func names[T interface {
	~uint32
	named
}](first, last T) {
	for value := first; value <= last; value++ {
		show("%d", uint32(value))(value.String(), value.Name())
	}
}

func init() {
	add(map[string]func(){
		"names-map-types":           func() { names(bpf.MapTypeUnspec, bpf.MapTypeArena) },
		"names-map-types-beyond":    func() { names(bpf.MapTypeArena+1, bpf.MapTypeArena+2) },
		"names-prog-types":          func() { names(bpf.BPFProgTypeUnspec, bpf.BPFProgTypeNetfilter) },
		"names-prog-types-beyond":   func() { names(bpf.BPFProgTypeNetfilter+1, bpf.BPFProgTypeNetfilter+1) },
		"names-attach-types":        func() { names(0, bpf.BPFAttachTypeTraceKprobeSession) },
		"names-attach-types-beyond": func() { names(bpf.BPFAttachTypeTraceKprobeSession+1, 70) },
		"names-helpers": func() {
			for f := bpf.BPFFuncUnspec; f <= bpf.BPFFuncCgrpStorageDelete; f++ {
				show("%d", uint32(f))(f.String(), f.Value())
			}
		},
		"names-strict-mode": func() {
			for _, mode := range []bpf.LibbpfStrictMode{
				bpf.LibbpfStrictModeNone, bpf.LibbpfStrictModeCleanPtrs, bpf.LibbpfStrictModeDirectErrs,
				bpf.LibbpfStrictModeSecName, bpf.LibbpfStrictModeNoObjectList, bpf.LibbpfStrictModeAutoRlimitMemlock,
				bpf.LibbpfStrictModeMapDefinitions, bpf.LibbpfStrictModeAll, 1 << 20,
			} {
				bpf.SetStrictMode(mode)
				show("%d", uint32(mode))(mode.String())
			}
		},
		"version": func() {
			show("numbers")(bpf.MajorVersion(), bpf.MinorVersion())
			show("text")(bpf.LibbpfVersionString())
		},
		"cpus": func() { show("possible")(bpf.NumPossibleCPUs()) },
		"probes": func() {
			show("program type")(bpf.BPFProgramTypeIsSupported(bpf.BPFProgTypeSocketFilter))
			show("no program type")(bpf.BPFProgramTypeIsSupported(0))
			show("unknown program type")(bpf.BPFProgramTypeIsSupported(9999))
			show("map type")(bpf.BPFMapTypeIsSupported(bpf.MapTypeHash))
			show("no map type")(bpf.BPFMapTypeIsSupported(0))
			show("unknown map type")(bpf.BPFMapTypeIsSupported(9999))
			show("unsupported helper")(bpf.BPFHelperIsSupported(bpf.BPFProgTypeSocketFilter, bpf.BPFFuncGetCurrentCgroupId+9999))
			show("helper of no program type")(bpf.BPFHelperIsSupported(9999, bpf.BPFFuncMapLookupElem))
			show("helper that can't be probed")(bpf.BPFHelperIsSupported(bpf.BPFProgTypeTracing, bpf.BPFFuncMapLookupElem))
		},
		"probe-helper": func() {
			show("supported helper")(bpf.BPFHelperIsSupported(bpf.BPFProgTypeSocketFilter, bpf.BPFFuncMapLookupElem))
		},
	})
}
