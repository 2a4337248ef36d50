// Token checks that a process without privileges, in a user namespace, loads a program by a token: a
// BPF file system that a privileged one has made for it.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	bpf "github.com/seed-36717feb/libbpfgo"
	"github.com/seed-36717feb/libbpfgo/selftest/internal/selftest"
)

//go:embed main.bpf.o
var object []byte

func main() {
	selftest.Run(run)
}

func run() error {
	if len(os.Args) > 1 {
		return unprivileged(os.NewFile(3, "privileged"))
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	mine, others := os.NewFile(uintptr(ends[0]), "unprivileged"), os.NewFile(uintptr(ends[1]), "privileged")
	defer mine.Close()
	command := exec.Command("/proc/self/exe", "unprivileged")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.ExtraFiles = []*os.File{others}
	root := []syscall.SysProcIDMap{{Size: 1}}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: root, GidMappings: root}
	if err := command.Start(); err != nil {
		return selftest.Skip(fmt.Errorf("make a user namespace: %w", err), unix.EPERM, unix.ENOSPC)
	}
	others.Close()
	delegateErr := delegate(mine)
	mine.Close() // which ends the other process if it waits
	err = command.Wait()
	if delegateErr != nil && !errors.Is(delegateErr, io.ErrUnexpectedEOF) {
		return selftest.Skip(delegateErr, unix.EPERM) // before Linux 6.9
	}
	if code := command.ProcessState.ExitCode(); code > 0 {
		os.Exit(code) // the other process has told why
	}
	return errors.Join(delegateErr, err)
}

// delegate makes the file system that the other process has begun into one that lets it do everything.
func delegate(other *os.File) error {
	fs, err := receiveFile(other)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	for _, what := range []string{"delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"} {
		if err := unix.FsconfigSetString(fs, what, "any"); err != nil {
			return fmt.Errorf("set %s: %w", what, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("create the file system: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount the file system: %w", err)
	}
	defer unix.Close(mount)
	return sendFile(other, mount)
}

func unprivileged(other *os.File) error {
	fs, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := sendFile(other, fs); err != nil {
		return err
	}
	mount, err := receiveFile(other)
	if err != nil {
		return selftest.Skip(err, io.ErrUnexpectedEOF) // the other process tells why
	}
	defer unix.Close(mount)
	return selftest.InNetwork(func() error {
		if _, err := load(""); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("loading without a token gives %v", err)
		}
		module, err := load(fmt.Sprintf("/proc/self/fd/%d", mount))
		if err != nil {
			return err
		}
		defer module.Close()
		prog, err := module.GetProgram("prog")
		if err != nil {
			return err
		}
		return selftest.Effect(module, func() (func() error, error) {
			return selftest.Attached(prog.AttachXDP("lo"))
		}, selftest.Datagram)
	})
}

func load(token string) (*bpf.Module, error) {
	module, err := bpf.NewModuleFromBufferArgs(bpf.NewModuleArgs{BPFObjBuff: object, BPFObjName: "selftest", BPFTokenPath: token})
	if err != nil {
		return nil, err
	}
	if err := module.BPFLoadObject(); err != nil {
		module.Close()
		return nil, err
	}
	return module, nil
}

func sendFile(socket *os.File, fd int) error {
	return unix.Sendmsg(int(socket.Fd()), []byte{0}, unix.UnixRights(fd), nil, 0)
}

func receiveFile(socket *os.File) (int, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, err
	}
	if len(messages) == 0 {
		return -1, io.ErrUnexpectedEOF
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}
