package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var booted = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// record builds a record as the BPF program sends it.
func record(kind eventKind, rest ...any) []byte {
	var b bytes.Buffer
	comm := [16]byte{'c', 'o', 'm', 'm'}
	for _, v := range append([]any{uint32(kind), uint32(10), uint32(9), uint32(8), uint64(1500 * time.Millisecond), comm}, rest...) {
		if s, ok := v.(string); ok {
			v = []byte(s)
		}
		if err := binary.Write(&b, binary.NativeEndian, v); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func execRecord(flags uint32, file, cwd, args string) []byte {
	return record(execution, flags, uint32(len(file)), uint32(len(cwd)), uint32(len(args)), file, cwd, args)
}

func exitRecord(status uint32, duration time.Duration) []byte {
	return record(end, uint64(duration), status, uint32(0))
}

func TestDecodeAndPrint(t *testing.T) {
	const prefix = "03:04:06.500       10        9       8  comm             "
	const common = `{"time":"2030-01-02T03:04:06.5Z","event":"`
	const ids = `","pid":10,"ppid":9,"uid":8,"comm":"comm",`
	for name, test := range map[string]struct {
		record      []byte
		table, json string
	}{
		"absolute":    {execRecord(0, "/bin/ls\x00", "", "ls\x00-l\x00\x00a b\x00"), `/bin/ls -l "" "a b"`, common + "exec" + ids + `"file":"/bin/ls","args":["ls","-l","","a b"],"args_truncated":false}`},
		"relative":    {execRecord(0, "./x\x00", "c\x00b\x00a\x00", "x\x00"), `/a/b/c/x`, common + "exec" + ids + `"file":"/a/b/c/x","args":["x"],"args_truncated":false}`},
		"in root":     {execRecord(0, "bin/x\x00", "", "x\x00"), `/bin/x`, common + "exec" + ids + `"file":"/bin/x","args":["x"],"args_truncated":false}`},
		"too deep":    {execRecord(cwdTruncated, "x\x00", "c\x00", ""), `…/c/x`, common + "exec" + ids + `"file":"…/c/x","args":[],"args_truncated":false}`},
		"truncated":   {execRecord(argsTruncated, "/x\x00", "", "x\x00abc"), `/x abc …`, common + "exec" + ids + `"file":"/x","args":["x","abc"],"args_truncated":true}`},
		"unreadable":  {execRecord(argsUnreadable, "/x\x00", "", ""), `/x …`, common + "exec" + ids + `"file":"/x","args":[],"args_truncated":true}`},
		"control":     {execRecord(0, "/x\x1b[2J\x00", "", "x\x00\xff\x00"), `"/x\x1b[2J" "\xff"`, common + "exec" + ids + `"file":"/x\u001b[2J","args":["x","\ufffd"],"args_truncated":false}`},
		"exit code":   {exitRecord(7<<8, 1234567*time.Nanosecond), `  exit code 7 after 1.235ms`, common + "exit" + ids + `"exit_code":7,"duration_ns":1234567}`},
		"signal":      {exitRecord(9, time.Second), `  killed by SIGKILL after 1s`, common + "exit" + ids + `"exit_code":null,"signal":"SIGKILL","duration_ns":1000000000}`},
		"core dumped": {exitRecord(11|0x80, time.Second), `  killed by SIGSEGV, core dumped after 1s`, common + "exit" + ids + `"exit_code":null,"signal":"SIGSEGV","core_dumped":true,"duration_ns":1000000000}`},
		"real-time":   {exitRecord(40, time.Second), `  killed by signal 40 after 1s`, common + "exit" + ids + `"exit_code":null,"signal":"signal 40","duration_ns":1000000000}`},
	} {
		e, err := decode(test.record, booted)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var table, jsonLine strings.Builder
		if err := printTable(&table, e); err != nil {
			t.Error(err)
		}
		if err := printJSON(&jsonLine, e); err != nil {
			t.Error(err)
		}
		if got := strings.TrimPrefix(table.String(), prefix); got != test.table+"\n" {
			t.Errorf("%s: table shows %q, want %q", name, got, test.table)
		}
		if got := jsonLine.String(); got != test.json+"\n" {
			t.Errorf("%s: JSON is\n%s, want\n%s", name, got, test.json)
		}
	}
}

func TestDecodeRefusesWhatIsTooShort(t *testing.T) {
	for _, whole := range [][]byte{execRecord(0, "/bin/ls\x00", "", "ls\x00"), exitRecord(0, 0)} {
		for n := range whole {
			if e, err := decode(whole[:n], booted); err == nil {
				t.Errorf("%d of %d bytes are taken for %+v", n, len(whole), e)
			}
		}
	}
	if _, err := decode(record(3), booted); err == nil {
		t.Error("an unknown kind is taken")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(execRecord(0, "ls\x00", "a\x00", "ls\x00-l\x00"))
	f.Add(exitRecord(7<<8, time.Second))
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := decode(record, booted)
		if err != nil {
			return
		}
		var line bytes.Buffer
		if err := printJSON(&line, e); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(line.Bytes()) {
			t.Fatalf("no JSON: %s", line.Bytes())
		}
		if err := printTable(io.Discard, e); err != nil {
			t.Fatal(err)
		}
	})
}

// seen is the part of a jsonEvent that the next test compares.
type seen struct {
	Event, Comm, File, Signal string
	PID, PPID, UID            int
	Args                      []string
	ArgsTruncated             bool  `json:"args_truncated"`
	ExitCode                  *int  `json:"exit_code"`
	DurationNS                int64 `json:"duration_ns"`
	Time                      time.Time
}

// needRights skips for users other than root and on kernels without BTF. Otherwise checkRights must find nothing.
func needRights(t *testing.T) {
	t.Helper()
	err := checkRights()
	if err == nil {
		return
	}
	if _, missing := os.Stat("/sys/kernel/btf/vmlinux"); os.Geteuid() == 0 && missing == nil {
		t.Fatal(err)
	}
	t.Skip(err)
}

// A machine on which nothing happens shows the table's head.
func TestShowsHead(t *testing.T) {
	needRights(t)
	tracer, err := startTracer()
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out strings.Builder
	if err := tracer.Show(ctx, &out, table); err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(out.String(), "\n"); !strings.HasPrefix(head, "TIME ") {
		t.Errorf("the first line is %q", head)
	}
}

// Trace real processes on the running kernel.
func TestShowsRealExecutions(t *testing.T) {
	needRights(t)
	tracer, err := startTracer()
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := tracer.Show(ctx, in, jsonLines)
		in.CloseWithError(err)
		ended <- err
	}()
	byPID := make(chan map[int][]seen)
	go func() {
		events := make(map[int][]seen)
		for decoder := json.NewDecoder(out); ; {
			var e seen
			if err := decoder.Decode(&e); err != nil {
				byPID <- events
				return
			}
			events[e.PID] = append(events[e.PID], e)
		}
	}()

	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(dir, "some folder", "a-tool-with-a-long-name")
	if err := os.Mkdir(filepath.Dir(tool), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", tool); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 10000)
	tests := []struct {
		path, dir string
		args      []string
		uid       uint32
		file      string
		truncated bool
		code      int
		signal    string
	}{
		{path: "/bin/sh", args: []string{"sh", "-c", "exit 7"}, file: "/bin/sh", code: 7},
		{path: "/bin/sh", args: []string{"sh", "-c", "kill -KILL $$", "a b", ""}, file: "/bin/sh", signal: "SIGKILL"},
		{path: "./some folder/a-tool-with-a-long-name", dir: dir, args: []string{"sh", "-c", "exit 0"}, file: tool},
		{path: "/bin/sh", args: []string{"sh", "-c", "exit 0", long}, file: "/bin/sh", truncated: true},
		{path: "/bin/sh", args: []string{"sh", "-c", "exit 3"}, uid: 65534, file: "/bin/sh", code: 3},
	}
	pids := make([]int, len(tests))
	for i, test := range tests {
		cmd := exec.Cmd{Path: test.path, Args: test.args, Dir: test.dir}
		if test.uid != 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: test.uid, Gid: test.uid}}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids[i] = cmd.Process.Pid
		_ = cmd.Wait()
	}
	failing := exec.Command(filepath.Join(dir, "nothing"))
	if failing.Run() == nil {
		t.Error("a missing program runs")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	events := <-byPID

	for i, test := range tests {
		got := events[pids[i]]
		if len(got) != 2 || got[0].Event != "exec" || got[1].Event != "exit" {
			t.Errorf("%v: events are %+v", test.path, got)
			continue
		}
		start, end := got[0], got[1]
		comm := filepath.Base(test.path)
		comm = comm[:min(len(comm), 15)]
		wantArgs := slices.Clone(test.args)
		if test.truncated {
			last := &wantArgs[len(wantArgs)-1]
			*last = (*last)[:8192-len(strings.Join(wantArgs[:len(wantArgs)-1], " "))-1]
		}
		if start.File != test.file || !slices.Equal(start.Args, wantArgs) || start.ArgsTruncated != test.truncated ||
			start.PPID != os.Getpid() || start.UID != int(test.uid) || start.Comm != comm {
			t.Errorf("%v: %.300v", test.path, start)
		}
		if end.Signal != test.signal || (end.ExitCode == nil) != (test.signal != "") || end.ExitCode != nil && *end.ExitCode != test.code ||
			end.DurationNS <= 0 || end.PPID != os.Getpid() {
			t.Errorf("%v ended: %+v", test.path, end)
		}
		if age := time.Since(start.Time); age < 0 || age > time.Hour || end.Time.Sub(start.Time) != time.Duration(end.DurationNS) {
			t.Errorf("%v: began at %v, ended at %v after %d ns", test.path, start.Time, end.Time, end.DurationNS)
		}
	}
	for _, list := range events {
		for _, e := range list {
			if strings.HasSuffix(e.File, "/nothing") {
				t.Errorf("an execution that failed is shown: %+v", e)
			}
		}
	}
}
