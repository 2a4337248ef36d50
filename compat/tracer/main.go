// Tracer traces a process, in this case itself. It shows calls that arrive in a ring buffer and again in a perf buffer,
// connections that a cgroup program sees, and the counts of a kprobe.
package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"
)

//go:embed tracer.bpf.o
var object []byte

// The layouts of the events that the BPF programs send.
type (
	call struct {
		Argument, Number uint32
		Command          [16]byte
	}
	connection struct {
		Address      [4]byte
		Port, Family uint16
	}
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	module, err := bpf.NewModuleFromBuffer(object, "tracer")
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
	if err := attach(module); err != nil {
		return err
	}

	calls, connections, samples := make(chan []byte, 100), make(chan []byte, 100), make(chan []byte, 100)
	lost := make(chan uint64, 100)
	ring, err := module.InitRingBuf("calls", calls)
	if err != nil {
		return err
	}
	if _, err := module.AddRingBuf(ring, "connections", connections); err != nil {
		return err
	}
	perf, err := module.InitPerfBuf("samples", samples, lost, 16)
	if err != nil {
		return err
	}
	ring.Poll(300)
	perf.Poll(300)

	if err := work(); err != nil {
		return err
	}
	if err := show("call", calls, 30, showCall); err != nil {
		return err
	}
	if err := show("sample", samples, 30, showCall); err != nil {
		return err
	}
	if err := show("connection", connections, 1, showConnection); err != nil {
		return err
	}
	ring.Stop()
	perf.Stop()
	for count := range lost {
		fmt.Println("lost", count)
	}
	return showCounts(module)
}

// attach attaches the programs. A failure to attach the kprobe is only printed, because some kernels have no kprobes.
func attach(module *bpf.Module) error {
	onCall, err := module.GetProgram("on_call")
	if err != nil {
		return err
	}
	if _, err := onCall.AttachGeneric(); err != nil {
		return err
	}
	onConnect, err := module.GetProgram("on_connect")
	if err != nil {
		return err
	}
	cgroup, err := cgroupRoot()
	if err != nil {
		return err
	}
	if _, err := onConnect.AttachCgroup(cgroup); err != nil {
		return err
	}
	onFunction, err := module.GetProgram("on_kernel_function")
	if err != nil {
		return err
	}
	_, err = onFunction.AttachKprobe("do_getpgid")
	fmt.Println("kprobe attached:", err == nil)
	return nil
}

// cgroupRoot returns the mount point of a cgroup file system of version 2.
func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1], nil
		}
	}
	return "", errors.New("no cgroup file system of version 2 is mounted")
}

// work makes the calls that are traced. It stays on one CPU, because a perf buffer keeps only the order of one CPU's
// events.
func work() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	name := []byte("worker\x00")
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return err
	}
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &all)
	for n := range 30 {
		_, _, _ = syscall.RawSyscall(unix.SYS_GETPGID, uintptr(n*n), 0, 0)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	// The program sees the call even though nothing listens on the port.
	_ = unix.Connect(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9})
	return nil
}

// show prints the first events of a channel.
func show(what string, events <-chan []byte, count int, format func([]byte) (string, error)) error {
	for range count {
		select {
		case event := <-events:
			text, err := format(event)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			fmt.Println(what, text)
		case <-time.After(10 * time.Second):
			return fmt.Errorf("%s: no event came", what)
		}
	}
	return nil
}

func showCall(event []byte) (string, error) {
	var c call
	if err := binary.Read(bytes.NewReader(event), binary.LittleEndian, &c); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %s: %d", c.Number, unix.ByteSliceToString(c.Command[:]), c.Argument), nil
}

func showConnection(event []byte) (string, error) {
	var c connection
	if err := binary.Read(bytes.NewReader(event), binary.LittleEndian, &c); err != nil {
		return "", err
	}
	return fmt.Sprintf("to %s, family %d", netip.AddrPortFrom(netip.AddrFrom4(c.Address), c.Port), c.Family), nil
}

// showCounts prints the elements of an array, which it reads in one call.
func showCounts(module *bpf.Module) error {
	counts, err := module.GetMap("counts")
	if err != nil {
		return err
	}
	keys := make([]uint32, counts.MaxEntries())
	var next uint32
	values, n, err := counts.GetValueBatch(unsafe.Pointer(&keys[0]), nil, unsafe.Pointer(&next), counts.MaxEntries())
	if err != nil {
		return err
	}
	for i := range n {
		fmt.Printf("count %d: %d\n", keys[i], binary.LittleEndian.Uint64(values[i]))
	}
	return nil
}
