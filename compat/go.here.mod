// Programs written for libbpfgo, which are built against its release and against this library. They
// are a module of their own, so that the library doesn't depend on the release.
module github.com/seed-36717feb/libbpfgo/compat

go 1.24.0

require (
	github.com/aquasecurity/libbpfgo v0.10.0-libbpf-1.5.1
	golang.org/x/sys v0.41.0
)

replace github.com/aquasecurity/libbpfgo => ../
