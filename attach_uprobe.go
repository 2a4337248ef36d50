package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attachToFile attaches a program to the file that its section names. It parses the section's name by libbpf's
// rules (attach_uprobe, attach_uprobe_multi, attach_usdt). ok is false if the section isn't one of these kinds
// or names no target.
func (p *BPFProg) attachToFile() (c *C.struct_bpf_link, ok bool, err error) {
	kind, target, _ := strings.Cut(p.section, "/")
	path, function, _ := strings.Cut(target, ":")
	if path == "" || function == "" || C.bpf_program__type(p.c) != C.BPF_PROG_TYPE_KPROBE {
		return nil, false, nil
	}
	const everyProcess = -1
	switch kind {
	case "uprobe", "uprobe.s", "uretprobe", "uretprobe.s":
		opts := UprobeOpts{FuncName: function, Retprobe: strings.HasPrefix(kind, "uretprobe")}
		var offset int64
		if plus := strings.LastIndexByte(function, '+'); plus >= 0 {
			if n, err := strconv.ParseInt(function[plus+1:], 0, 64); err == nil {
				opts.FuncName, offset = function[:plus], n
			}
		}
		if opts.Retprobe && offset != 0 {
			return nil, true, fmt.Errorf("a return probe can't have an offset in the function: %w", syscall.EINVAL)
		}
		c, err = p.uprobe(everyProcess, path, uint64(offset), opts)
	case "uprobe.multi", "uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s", "uprobe.session", "uprobe.session.s":
		c, err = p.uprobeMulti(everyProcess, path, function, UprobeMultiOpts{
			Retprobe: strings.HasPrefix(kind, "uretprobe"),
			Session:  strings.HasPrefix(kind, "uprobe.session"),
		})
	case "usdt":
		provider, name, _ := strings.Cut(function, ":")
		name, _, _ = strings.Cut(name, ":")
		if provider == "" || name == "" {
			return nil, false, nil
		}
		c, err = p.usdt(everyProcess, path, provider, name, USDTOpts{})
	default:
		return nil, false, nil
	}
	return c, true, err
}

// AttachUprobe attaches the program to the function at a file offset of the executable or library at path. If pid is
// -1, it attaches in all processes; if pid is 0, in the calling process; otherwise, in the process pid.
//
// A path without a slash is the name of a file that is searched for, as libbpf does. A library, whose name ends in
// ".so" or contains ".so.", is searched for in the folders of LD_LIBRARY_PATH and of the system's libraries; an
// executable in the folders of PATH, in /usr/bin and in /usr/sbin. A relative path with a slash starts at the working
// directory.
//
// Implements: bpf_program__attach_uprobe, bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachUprobe(pid int, path string, offset uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{})
}

// AttachURetprobe is AttachUprobe for the function's return.
//
// Implements: bpf_program__attach_uprobe, bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachURetprobe(pid int, path string, offset uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{Retprobe: true})
}

// AttachUprobeWithOpts is AttachUprobe with a cookie, which bpf_get_attach_cookie() returns in the program
// (Linux 5.15).
//
// Implements: bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachUprobeWithOpts(pid int, path string, offset uint64, cookie uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{Cookie: cookie})
}

// AttachURetprobeWithOpts is AttachURetprobe with a cookie, which bpf_get_attach_cookie() returns in the
// program (Linux 5.15).
//
// Implements: bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachURetprobeWithOpts(pid int, path string, offset uint64, cookie uint64) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, UprobeOpts{Cookie: cookie, Retprobe: true})
}

// UprobeOpts are options of [BPFProg.AttachUprobeOpts] (struct bpf_uprobe_opts).
type UprobeOpts struct {
	FuncName     string          // function from whose start the offset counts; may be "name@VERSION" in a library
	RefCtrOffset uint64          // file offset of a static tracepoint's semaphore, incremented while attached
	Cookie       uint64          // returned by bpf_get_attach_cookie() in the program (Linux 5.15)
	Retprobe     bool            // attach to the function's return
	AttachMode   ProbeAttachMode // how the probe is created
}

// AttachUprobeOpts is AttachUprobe with options: a function's name, a cookie, how the probe is created.
//
// A function name is looked up as libbpf 1.7 does: in .dynsym, then in .symtab, of the file at path. A path
// "ARCHIVE!/FILE" names a file that is stored uncompressed in a zip archive. The file is read, not mapped, so that a
// process that can write to the file can't harm this one. If the file is damaged, or if several functions have the
// name, the error is [LibbpfErrnoFormat] (errors.Is). If no function has the name, it is syscall.ENOENT. If more than
// 1 GiB of the file would have to be read, it is syscall.EFBIG.
//
// Implements: bpf_program__attach_uprobe_opts
func (p *BPFProg) AttachUprobeOpts(pid int, path string, offset uint64, opts UprobeOpts) (*BPFLink, error) {
	return p.attachUprobe(pid, path, offset, opts)
}

func (p *BPFProg) attachUprobe(pid int, path string, offset uint64, opts UprobeOpts) (*BPFLink, error) {
	eventName := fmt.Sprintf("%s:%d:%s%d", path, pid, opts.FuncName, offset)
	function := fmt.Sprintf("the function at offset %#x", offset)
	if opts.FuncName != "" {
		function = fmt.Sprintf("%q+%#x", opts.FuncName, offset)
	}
	target := fmt.Sprintf("%s of %s of %q, in process %d", entryOrReturn(opts.Retprobe), function, path, pid)
	return p.attach(uprobeType(opts.Retprobe), eventName, target, func() (*C.struct_bpf_link, error) {
		return p.uprobe(pid, path, offset, opts)
	})
}

func (p *BPFProg) uprobe(pid int, path string, offset uint64, opts UprobeOpts) (*C.struct_bpf_link, error) {
	if err := needAttachMode(opts.AttachMode); err != nil {
		return nil, err
	}
	process, err := targetProcess(pid)
	if err != nil {
		return nil, err
	}
	file, err := targetPath(path)
	if err != nil {
		return nil, err
	}
	if opts.FuncName != "" {
		var start uint64
		if file, start, err = findFunction(file, opts.FuncName); err != nil {
			return nil, err
		}
		offset += start
	}
	pathC := C.CString(file)
	defer C.free(unsafe.Pointer(pathC))
	c := options[C.struct_bpf_uprobe_opts]()
	c.ref_ctr_offset = C.size_t(opts.RefCtrOffset)
	c.bpf_cookie = C.__u64(opts.Cookie)
	c.retprobe = C.bool(opts.Retprobe)
	C.golibbpf_uprobe_mode(c, C.uint(opts.AttachMode))
	link, errno := C.bpf_program__attach_uprobe_opts(p.c, process, pathC, C.size_t(offset), c)
	return link, explainTarget(errno, file)
}

func uprobeType(isReturn bool) LinkType {
	if isReturn {
		return Uretprobe
	}
	return Uprobe
}

// AttachUprobeMulti attaches the program, of a section "uprobe.multi", to the functions at several offsets of the
// executable or library at path at once. cookies is empty or has a cookie for each offset, which
// bpf_get_attach_cookie() returns in the program. pid and path are as for [BPFProg.AttachUprobe]. It needs libbpf 1.3
// and Linux 6.6.
//
// Implements: bpf_program__attach_uprobe_multi
func (p *BPFProg) AttachUprobeMulti(pid int, path string, offsets, cookies []uint64) (*BPFLink, error) {
	if err := needLibbpf(1, 3, "bpf_program__attach_uprobe_multi"); err != nil {
		return nil, failedf(err, "attach program %q", p.Name())
	}
	return p.attachUprobeMulti(pid, path, "", UprobeMultiOpts{Offsets: offsets, Cookies: cookies})
}

// AttachURetprobeMulti is AttachUprobeMulti for the functions' return.
//
// Implements: bpf_program__attach_uprobe_multi
func (p *BPFProg) AttachURetprobeMulti(pid int, path string, offsets, cookies []uint64) (*BPFLink, error) {
	if err := needLibbpf(1, 3, "bpf_program__attach_uprobe_multi"); err != nil {
		return nil, failedf(err, "attach program %q", p.Name())
	}
	return p.attachUprobeMulti(pid, path, "", UprobeMultiOpts{Offsets: offsets, Cookies: cookies, Retprobe: true})
}

// UprobeMultiOpts are options of [BPFProg.AttachUprobeMultiOpts] (struct bpf_uprobe_multi_opts).
type UprobeMultiOpts struct {
	Symbols       []string // names of the functions, or
	Offsets       []uint64 // offsets of the functions in the file
	RefCtrOffsets []uint64 // one for each function or none: file offset of its semaphore, incremented while attached
	Cookies       []uint64 // one for each function or none, returned by bpf_get_attach_cookie() in the program
	Retprobe      bool     // attach to the functions' return
	// Session is for a program of a section "uprobe.session", which runs at the functions' entry and
	// return. It needs libbpf 1.6 and Linux 6.13.
	Session bool
}

// AttachUprobeMultiOpts is AttachUprobeMulti with options. If pattern isn't empty, it attaches to the functions whose
// names match it, where * matches any characters and ? matches one. If it is empty, it attaches to the functions in
// opts. A pattern is compared with the names in .symtab or, if none of these matches, with those in .dynsym. The names
// in opts are looked up in both tables; if several functions have a name, the error is syscall.ESRCH (errors.Is). For
// more than 1,048,576 functions, the error is syscall.E2BIG. Damaged and large files are treated as by
// [BPFProg.AttachUprobeOpts].
//
// Implements: bpf_program__attach_uprobe_multi
func (p *BPFProg) AttachUprobeMultiOpts(pid int, path, pattern string, opts UprobeMultiOpts) (*BPFLink, error) {
	if err := needLibbpf(1, 3, "bpf_program__attach_uprobe_multi"); err != nil {
		return nil, failedf(err, "attach program %q", p.Name())
	}
	return p.attachUprobeMulti(pid, path, pattern, opts)
}

func (p *BPFProg) attachUprobeMulti(pid int, path, pattern string, opts UprobeMultiOpts) (*BPFLink, error) {
	functions := pattern
	if len(opts.Symbols) != 0 {
		functions = strings.Join(opts.Symbols, ",")
	} else if len(opts.Offsets) != 0 {
		functions = fmt.Sprintf("%#x", opts.Offsets)
	}
	eventName := fmt.Sprintf("%s:%d:%s", path, pid, functions)
	target := fmt.Sprintf("%s of the functions %s of %q, in process %d", entryOrReturn(opts.Retprobe), functions, path, pid)
	return p.attach(uprobeType(opts.Retprobe), eventName, target, func() (*C.struct_bpf_link, error) {
		return p.uprobeMulti(pid, path, pattern, opts)
	})
}

func (p *BPFProg) uprobeMulti(pid int, path, pattern string, opts UprobeMultiOpts) (*C.struct_bpf_link, error) {
	if opts.Session {
		if err := needLibbpf(1, 6, "bpf_uprobe_multi_opts.session"); err != nil {
			return nil, err
		}
	}
	count := len(opts.Symbols) + len(opts.Offsets)
	if pattern == "" && count == 0 || len(opts.Cookies) != 0 && len(opts.Cookies) != count ||
		len(opts.RefCtrOffsets) != 0 && len(opts.RefCtrOffsets) != count {
		return nil, fmt.Errorf("%d functions, %d cookies and %d semaphores: %w", count, len(opts.Cookies), len(opts.RefCtrOffsets), syscall.EINVAL)
	}
	if pattern != "" && count != 0 || len(opts.Symbols) != 0 && len(opts.Offsets) != 0 {
		return nil, fmt.Errorf("more than one of pattern, names and offsets: %w", syscall.EINVAL)
	}
	process, err := targetProcess(pid)
	if err != nil {
		return nil, err
	}
	file, err := targetPath(path)
	if err != nil {
		return nil, err
	}
	offsets := opts.Offsets
	if len(offsets) == 0 {
		if offsets, err = findFunctions(file, pattern, opts.Symbols); err != nil {
			return nil, err
		}
	}
	pathC := C.CString(file)
	defer C.free(unsafe.Pointer(pathC))
	c, errno := C.golibbpf_attach_uprobe_multi(p.c, process, pathC, firstLong(offsets), firstLong(opts.RefCtrOffsets),
		(*C.uint64_t)(first(opts.Cookies)), C.size_t(len(offsets)), C.bool(opts.Retprobe), C.bool(opts.Session))
	return c, explainTarget(errno, file)
}

// explainTarget adds a reason to the kernel's error for a target that isn't a regular file: EINVAL or, from uprobe.multi
// links, EBADF.
func explainTarget(err error, path string) error {
	if err == syscall.EINVAL || err == syscall.EBADF {
		if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("not a regular file: %w", err)
		}
	}
	return err
}

// targetProcess converts pid for C. It is a process, 0 for the calling process, or -1 for all.
func targetProcess(pid int) (C.pid_t, error) {
	if pid < -1 {
		return 0, fmt.Errorf("process %d: %w", pid, syscall.EINVAL)
	}
	n, err := cInt(pid, "process")
	return C.pid_t(n), err
}

// targetPath returns the path of the executable or library to attach to. It searches for names without a slash itself,
// because bpf_program__attach_uprobe_multi() of libbpf 1.7 does so only if it gets a pattern.
func targetPath(path string) (string, error) {
	switch {
	case path == "":
		return "", fmt.Errorf("empty path: %w", syscall.EINVAL)
	case strings.IndexByte(path, 0) >= 0:
		return "", errZeroByte
	case strings.Contains(path, "/"):
		return path, nil
	}
	folders, access := []string{os.Getenv("PATH"), "/usr/bin:/usr/sbin"}, uint32(unix.R_OK|unix.X_OK)
	if strings.HasSuffix(path, ".so") || strings.Contains(path, ".so.") {
		folders, access = []string{os.Getenv("LD_LIBRARY_PATH"), "/usr/lib64:/usr/lib", libraryFolders[runtime.GOARCH]}, unix.R_OK
	}
	for folder := range strings.SplitSeq(strings.Join(folders, ":"), ":") {
		found := folder + "/" + path
		if folder != "" && unix.Faccessat(unix.AT_FDCWD, found, access, unix.AT_EACCESS) == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%q is in none of the folders that are searched (a file of the working directory is %q): %w", path, "./"+path, syscall.ENOENT)
}

// libraryFolders are Debian's library folders, by architecture.
var libraryFolders = map[string]string{
	"386":      "/lib/i386-linux-gnu",
	"amd64":    "/lib/x86_64-linux-gnu",
	"arm":      "/lib/arm-linux-gnueabihf",
	"arm64":    "/lib/aarch64-linux-gnu",
	"mips64le": "/lib/mips64el-linux-gnuabi64",
	"mipsle":   "/lib/mipsel-linux-gnu",
	"ppc64le":  "/lib/powerpc64le-linux-gnu",
	"riscv64":  "/lib/riscv64-linux-gnu",
	"s390x":    "/lib/s390x-linux-gnu",
}

// AttachUSDT attaches the program to the static tracepoint provider:name of the executable or library at
// binaryPath. pid and binaryPath are as for [BPFProg.AttachUprobe].
//
// libbpf maps the file to find the tracepoint. The file is therefore checked first. If libbpf can't read it,
// the error is [LibbpfErrnoFormat] (errors.Is), or syscall.EINVAL if it can't read the tracepoint's arguments.
// Until the method returns, it has a lease on the file (fcntl(2)): others that open the file for writing or
// truncate it wait. If the file is open for writing already, the error is syscall.ETXTBSY. Without CAP_LEASE
// there is no lease on another user's file, and some file systems have no leases; a process that changes such a
// file during the call can crash this one.
//
// Implements: bpf_program__attach_usdt
func (p *BPFProg) AttachUSDT(pid int, binaryPath string, provider string, name string) (*BPFLink, error) {
	return p.AttachUSDTOpts(pid, binaryPath, provider, name, USDTOpts{})
}

// USDTOpts are options of [BPFProg.AttachUSDTOpts] (struct bpf_usdt_opts).
type USDTOpts struct {
	Cookie uint64 // returned by bpf_usdt_cookie() of usdt.bpf.h in the program
}

// AttachUSDTOpts is AttachUSDT with options.
//
// Implements: bpf_program__attach_usdt
func (p *BPFProg) AttachUSDTOpts(pid int, binaryPath string, provider string, name string, opts USDTOpts) (*BPFLink, error) {
	eventName := fmt.Sprintf("%s:%d:%s:%s", binaryPath, pid, provider, name)
	target := fmt.Sprintf("static tracepoint %q of %q, in process %d", provider+":"+name, binaryPath, pid)
	return p.attach(USDT, eventName, target, func() (*C.struct_bpf_link, error) {
		return p.usdt(pid, binaryPath, provider, name, opts)
	})
}

func (p *BPFProg) usdt(pid int, path, provider, name string, opts USDTOpts) (*C.struct_bpf_link, error) {
	process, err := targetProcess(pid)
	if err != nil {
		return nil, err
	}
	found, err := targetPath(path)
	if err != nil {
		return nil, err
	}
	names, err := cStrings([]string{provider, name})
	defer freeStrings(names)
	if err != nil {
		return nil, err
	}
	if err := checkAttach(false); err != nil {
		return nil, err
	}
	file, held, err := checkUSDTTarget(found, provider, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	heldC := C.CString(held)
	defer C.free(unsafe.Pointer(heldC))
	optsC := options[C.struct_bpf_usdt_opts]()
	optsC.usdt_cookie = C.__u64(opts.Cookie)
	c, errno := C.bpf_program__attach_usdt(p.c, process, heldC, names[0], names[1], optsC)
	return c, errno
}
