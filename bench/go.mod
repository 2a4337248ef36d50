// The benchmark against peers. A module of its own keeps them out of the library's dependencies.
module github.com/seed-36717feb/libbpfgo/bench

go 1.25.0

require (
	github.com/aquasecurity/libbpfgo v0.10.0-libbpf-1.5.1
	github.com/cilium/ebpf v0.22.0
	github.com/seed-36717feb/libbpfgo v0.0.0
	golang.org/x/sys v0.43.0
)

replace github.com/seed-36717feb/libbpfgo => ..
