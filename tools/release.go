//go:build release

// Package tools names the release whose API this module's root package must have.
package tools

import _ "github.com/aquasecurity/libbpfgo"
