// Exporter prints the counts that BPF programs keep in maps, once, as metrics in Prometheus' text format.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"
)

//go:embed exporter.bpf.o
var object []byte

// A metric is a set of samples, one for each element of a map.
type metric struct {
	name, help, kind string
	bpfMap           string
	labels           []label
	perCPU           bool
}

// A label is made from the bytes of a key that follow those of the previous label.
type label struct {
	name   string
	size   int
	decode func([]byte) string
}

func decodeUint(b []byte) string {
	var padded [8]byte
	copy(padded[:], b)
	return fmt.Sprint(binary.LittleEndian.Uint64(padded[:]))
}

func decodeString(b []byte) string { return unix.ByteSliceToString(b) }

func decodePowerOfTwo(b []byte) string { return fmt.Sprint(1 << binary.LittleEndian.Uint32(b)) }

func decodeParity(b []byte) string { return []string{"even", "odd"}[b[0]] }

var metrics = []metric{
	{
		name: "calls_total", help: "Calls by argument and command.", kind: "counter", bpfMap: "calls",
		labels: []label{{"argument", 4, decodeUint}, {"command", 16, decodeString}},
	},
	{
		name: "sizes_total", help: "Calls by the size of the argument.", kind: "counter", bpfMap: "sizes",
		labels: []label{{"at_least", 4, decodePowerOfTwo}}, perCPU: true,
	},
	{
		name: "parity_total", help: "Calls by parity of the argument.", kind: "counter", bpfMap: "parity",
		labels: []label{{"parity", 1, decodeParity}}, perCPU: true,
	},
	{
		name: "recent", help: "Arguments seen of late.", kind: "gauge", bpfMap: "recent",
		labels: []label{{"argument", 2, decodeUint}},
	},
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	module, err := bpf.NewModuleFromBuffer(object, "exporter")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := module.InitGlobalVariable("target_pid", uint32(os.Getpid())); err != nil {
		return err
	}
	if err := module.BPFLoadObject(); err != nil {
		return err
	}
	prog, err := module.GetProgram("count")
	if err != nil {
		return err
	}
	if _, err := prog.AttachTracepoint("syscalls", "sys_enter_getpgid"); err != nil {
		return err
	}
	work()
	return export(os.Stdout, module)
}

// work makes the system calls that are counted, under a fixed command name.
func work() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	name := []byte("worker\x00")
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	for n := range 40 {
		for range n%3 + 1 {
			_, _, _ = syscall.RawSyscall(unix.SYS_GETPGID, uintptr(n), 0, 0)
		}
	}
}

func export(w io.Writer, module *bpf.Module) error {
	for _, m := range metrics {
		bpfMap, err := module.GetMap(m.bpfMap)
		if err != nil {
			return err
		}
		lines, err := m.lines(bpfMap)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s\n", m.name, m.help, m.name, m.kind, strings.Join(lines, "\n"))
	}
	return nil
}

// lines returns a line for each element, sorted.
func (m metric) lines(bpfMap *bpf.BPFMap) ([]string, error) {
	var lines []string
	it := bpfMap.Iterator()
	for it.Next() {
		key := it.Key()
		value, err := bpfMap.GetValue(unsafe.Pointer(&key[0]))
		if err != nil {
			return nil, err
		}
		var labels []string
		rest := key
		for _, l := range m.labels {
			labels = append(labels, fmt.Sprintf("%s=%q", l.name, l.decode(rest[:l.size])))
			rest = rest[l.size:]
		}
		lines = append(lines, fmt.Sprintf("%s{%s} %d", m.name, strings.Join(labels, ","), m.sum(bpfMap, value)))
	}
	slices.Sort(lines)
	return lines, it.Err()
}

// sum returns the number at the beginning of a value, summed over the CPUs if the map is per-CPU.
func (m metric) sum(bpfMap *bpf.BPFMap, value []byte) uint64 {
	if !m.perCPU {
		var padded [8]byte
		copy(padded[:], value)
		return binary.LittleEndian.Uint64(padded[:])
	}
	var total uint64
	size := (bpfMap.ValueSize() + 7) / 8 * 8
	for cpu := range slices.Chunk(value, size) {
		total += binary.LittleEndian.Uint64(cpu)
	}
	return total
}
