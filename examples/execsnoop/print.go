package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A jsonEvent is an event as -json prints it. Bytes that aren't UTF-8 become U+FFFD.
type jsonEvent struct {
	Time  time.Time `json:"time"`  // RFC 3339 with nanoseconds
	Event string    `json:"event"` // "exec" or "exit"
	PID   uint32    `json:"pid"`
	PPID  uint32    `json:"ppid"`
	UID   uint32    `json:"uid"`
	Comm  string    `json:"comm"` // the process's name, its first 15 bytes
	*jsonExec
	*jsonExit
}

// jsonExec has the additional fields of an "exec".
type jsonExec struct {
	File          string   `json:"file"` // the absolute name, as the process sees it
	Args          []string `json:"args"` // the first is the name of the program
	ArgsTruncated bool     `json:"args_truncated"`
}

// jsonExit has the additional fields of an "exit".
type jsonExit struct {
	ExitCode   *int   `json:"exit_code"`             // null if a signal ended it
	Signal     string `json:"signal,omitempty"`      // such as "SIGKILL"
	CoreDumped bool   `json:"core_dumped,omitempty"` // only with a signal
	DurationNS int64  `json:"duration_ns"`           // since the exec, in nanoseconds
}

var jsonLines = format{print: printJSON}

func printJSON(w io.Writer, e *event) error {
	j := jsonEvent{Time: e.time, PID: e.pid, PPID: e.ppid, UID: e.uid, Comm: e.comm}
	if e.kind == execution {
		j.Event = "exec"
		j.jsonExec = &jsonExec{File: e.file, Args: e.args, ArgsTruncated: e.argsTruncated}
	} else {
		j.Event = "exit"
		j.jsonExit = &jsonExit{DurationNS: int64(e.duration)}
		if e.status.Signaled() {
			j.Signal, j.CoreDumped = signalName(e.status), e.status.CoreDump()
		} else {
			code := e.status.ExitStatus()
			j.ExitCode = &code
		}
	}
	// The encoder ends each object with a line feed.
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(j)
}

const columns = "%-12s  %7v  %7v  %6v  %-15s  %s\n"

var table = format{
	head:  fmt.Sprintf(columns, "TIME", "PID", "PPID", "UID", "COMM", "FILE AND ARGUMENTS, OR HOW IT ENDED"),
	print: printTable,
}

func printTable(w io.Writer, e *event) error {
	_, err := fmt.Fprintf(w, columns, e.time.Format("15:04:05.000"), e.pid, e.ppid, e.uid, quote(e.comm), detail(e))
	return err
}

func detail(e *event) string {
	if e.kind == end {
		return fmt.Sprintf("  %s after %v", ending(e.status), e.duration.Round(time.Microsecond))
	}
	words := []string{quote(e.file)}
	for i, arg := range e.args {
		// Leave out the first argument: it is the name of the program, which is usually the file's name.
		if i > 0 {
			words = append(words, quote(arg))
		}
	}
	if e.argsTruncated {
		words = append(words, "…")
	}
	return strings.Join(words, " ")
}

// quote quotes a text that could be misread or that a terminal can't show.
func quote(s string) string {
	quoted := strconv.Quote(s)
	if s == "" || strings.ContainsAny(s, " '") || quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
