package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An event is an execution or the end of a process, sent by execsnoop.bpf.c.
type event struct {
	kind           eventKind
	time           time.Time
	pid, ppid, uid uint32
	comm           string

	// For an execution.
	file          string
	args          []string
	argsTruncated bool

	// For the end of a process.
	status   syscall.WaitStatus
	duration time.Duration
}

type eventKind uint32

const (
	execution eventKind = 1
	end       eventKind = 2
)

// The flags of an execution.
const (
	cwdTruncated   = 1
	argsTruncated  = 2
	argsUnreadable = 4
)

const (
	commonSize = 40
	exitSize   = commonSize + 16
	execSize   = commonSize + 16 // without the texts that follow
)

// decode decodes a record. booted is the time at which CLOCK_BOOTTIME was 0.
func decode(record []byte, booted time.Time) (*event, error) {
	if len(record) < commonSize {
		return nil, fmt.Errorf("event of %d bytes, want %d at least", len(record), commonSize)
	}
	u32 := func(offset int) uint32 { return binary.NativeEndian.Uint32(record[offset:]) }
	u64 := func(offset int) uint64 { return binary.NativeEndian.Uint64(record[offset:]) }
	e := &event{
		kind: eventKind(u32(0)),
		pid:  u32(4),
		ppid: u32(8),
		uid:  u32(12),
		time: booted.Add(time.Duration(u64(16))),
		comm: cString(record[24:commonSize]),
	}
	switch e.kind {
	case execution:
		if len(record) < execSize {
			return nil, fmt.Errorf("execution of %d bytes, want %d at least", len(record), execSize)
		}
		flags, sizes := u32(40), [3]uint32{u32(44), u32(48), u32(52)}
		var texts [3][]byte
		rest := record[execSize:]
		for i, size := range sizes {
			if uint64(size) > uint64(len(rest)) {
				return nil, fmt.Errorf("execution of %d bytes, too short for texts of %v", len(record), sizes)
			}
			texts[i], rest = rest[:size], rest[size:]
		}
		e.file = fullName(cString(texts[0]), split(texts[1]), flags&cwdTruncated != 0)
		e.args = split(texts[2])
		e.argsTruncated = flags&(argsTruncated|argsUnreadable) != 0
	case end:
		if len(record) != exitSize {
			return nil, fmt.Errorf("end of %d bytes, want %d", len(record), exitSize)
		}
		e.duration = time.Duration(u64(40))
		e.status = syscall.WaitStatus(u32(48))
	default:
		return nil, fmt.Errorf("event of unknown kind %d", e.kind)
	}
	return e, nil
}

// fullName returns the absolute name of a file. folders are the names of the working directory and its parents,
// innermost first. If the list was truncated, the missing part is shown as "…".
func fullName(name string, folders []string, truncated bool) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	slices.Reverse(folders)
	dir := "/" + strings.Join(folders, "/")
	if truncated {
		dir = "…" + dir
	}
	return strings.TrimSuffix(dir, "/") + "/" + strings.TrimPrefix(name, "./")
}

// cString returns the text before the first zero byte.
func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

// split splits b into the texts that end in a zero byte. The rest after the last zero byte is a text too.
func split(b []byte) []string {
	if len(b) == 0 {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// ending describes how a process ended, in the words of a shell.
func ending(status syscall.WaitStatus) string {
	if !status.Signaled() {
		return fmt.Sprintf("exit code %d", status.ExitStatus())
	}
	text := "killed by " + signalName(status)
	if status.CoreDump() {
		text += ", core dumped"
	}
	return text
}

func signalName(status syscall.WaitStatus) string {
	if name := unix.SignalName(status.Signal()); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", status.Signal())
}
