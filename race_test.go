//go:build race

package libbpfgo

const raceDetector = true
