package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// perfEvents has the data that is needed to open the perf event of a CPU again. When a CPU goes offline, the kernel
// permanently removes its events: afterwards bpf_perf_event_output() fails there with EOPNOTSUPP, and neither polling
// nor reading the event's descriptor shows that. The event's memory stays.
type perfEvents struct {
	array C.int // the map's descriptor
	attr  unix.PerfEventAttr
	// cpus and keys are empty if each CPU's event is stored under the CPU's own number.
	cpus, keys []int

	mutex sync.Mutex
	// reopened has the descriptors of the events that were opened again, by the map's key. They write to libbpf's
	// memory.
	reopened map[int]int
}

// reopen opens a new event for a CPU that has come online. The event writes to the memory of the old one and so wakes
// its pollers. libbpf's perf buffer doesn't know of it.
func (r *reader) reopen(cpu int) error {
	if r.enter() != nil {
		return nil
	}
	defer r.exit()
	events, pb := r.events, r.sources()[0].pb
	for i := range int(C.perf_buffer__buffer_cnt(pb)) {
		key := cpu
		if len(events.cpus) > 0 {
			if events.cpus[i] != cpu {
				continue
			}
			key = events.keys[i]
		}
		err := events.open(cpu, key, int(C.perf_buffer__buffer_fd(pb, C.size_t(i))))
		switch {
		case len(events.cpus) == 0 && err == errOtherCPU:
		case err == unix.ENODEV: // the CPU is offline again
			return nil
		case err != nil || len(events.cpus) == 0:
			return err
		}
	}
	return nil
}

// errOtherCPU means that the memory for an event belongs to another CPU.
var errOtherCPU = errors.New("the memory is another CPU's")

func (e *perfEvents) open(cpu, key, output int) error {
	fd, err := unix.PerfEventOpen(&e.attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	element, descriptor := C.int(key), C.int(fd)
	err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_OUTPUT, output)
	if err == unix.EINVAL {
		err = errOtherCPU
	}
	if err == nil {
		err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0)
	}
	if err == nil {
		err = codeOf(C.bpf_map_update_elem(e.array, unsafe.Pointer(&element), unsafe.Pointer(&descriptor), C.BPF_ANY))
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if before, ok := e.reopened[key]; ok {
		unix.Close(before)
	}
	e.reopened[key] = fd
	return nil
}

func (e *perfEvents) close() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, fd := range e.reopened {
		unix.Close(fd)
	}
	clear(e.reopened)
}

// hotplug makes open readers of perf buffers reopen the events of CPUs that come online. While there are readers, one
// goroutine waits for the kernel's messages (uevents).
var hotplug = cpuHotplug{readers: make(map[*reader]struct{})}

type cpuHotplug struct {
	mutex   sync.Mutex
	readers map[*reader]struct{}
	socket  *os.File      // nil if there are no readers, or if messages can't be received
	ended   chan struct{} // closed when the goroutine has ended
}

func (h *cpuHotplug) add(r *reader) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.readers[r] = struct{}{}
	if h.socket != nil {
		return
	}
	socket, err := openUevents()
	if err != nil {
		return // for example in a sandbox: the reader loses the events of a CPU that goes offline
	}
	h.socket, h.ended = socket, make(chan struct{})
	go h.run(h.socket, h.ended)
}

// remove removes a reader. After the last one, it waits for the goroutine to end, so the caller must hold no lock of a
// reader.
func (h *cpuHotplug) remove(r *reader) {
	h.mutex.Lock()
	delete(h.readers, r)
	if len(h.readers) > 0 || h.socket == nil {
		h.mutex.Unlock()
		return
	}
	socket, ended := h.socket, h.ended
	h.socket, h.ended = nil, nil
	h.mutex.Unlock()
	socket.Close()
	<-ended
}

// openUevents returns a socket that receives the kernel's messages about devices.
func openUevents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, err
	}
	const kernel = 1 // the group of messages from the kernel, not from udev
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernel}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "uevents"), nil
}

func (h *cpuHotplug) run(socket *os.File, ended chan<- struct{}) {
	defer close(ended)
	message := make([]byte, 8<<10)
	for {
		n, err := socket.Read(message)
		if err != nil && !errors.Is(err, syscall.ENOBUFS) {
			return
		}
		if err != nil { // messages were lost
			cpus, _ := NumPossibleCPUs()
			for cpu := range cpus {
				h.online(cpu)
			}
		} else if cpu, ok := onlineCPU(string(message[:n])); ok {
			h.online(cpu)
		}
	}
}

// onlineCPU returns the CPU whose coming online a message announces.
func onlineCPU(message string) (cpu int, ok bool) {
	header, _, _ := strings.Cut(message, "\x00")
	number, ok := strings.CutPrefix(header, "online@/devices/system/cpu/cpu")
	if !ok {
		return 0, false
	}
	cpu, err := strconv.Atoi(number)
	return cpu, err == nil
}

func (h *cpuHotplug) online(cpu int) {
	h.mutex.Lock()
	readers := slices.Collect(maps.Keys(h.readers))
	h.mutex.Unlock()
	for _, r := range readers {
		if err := r.reopen(cpu); err != nil {
			err = fmt.Errorf("CPU %d was offline and its events are lost: open its perf event again: %w", cpu, err)
			r.trouble.Store(&err)
			r.wakeUp()
		}
	}
}
