package object

import (
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

// inUserNamespace is an environment variable that is set for the unprivileged process. Descriptor 3 of this process is
// a socket that is connected to the privileged process.
const inUserNamespace = "SELFTEST_USER_NAMESPACE"

func token(t *selftest.Test) error {
	if os.Getenv(inUserNamespace) != "" {
		return unprivileged(t, os.NewFile(3, "privileged"))
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	mine, others := os.NewFile(uintptr(ends[0]), "unprivileged"), os.NewFile(uintptr(ends[1]), "privileged")
	defer mine.Close()
	command := exec.Command("/proc/self/exe", "token")
	command.Env = append(os.Environ(), inUserNamespace+"=1")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.ExtraFiles = []*os.File{others}
	root := []syscall.SysProcIDMap{{Size: 1}}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: root, GidMappings: root}
	if err := command.Start(); err != nil {
		return selftest.At(selftest.Preparing, fmt.Errorf("make a user namespace: %w", err))
	}
	others.Close()
	delegateErr := delegate(mine)
	mine.Close() // ends the other process if it is waiting
	err = command.Wait()
	if delegateErr != nil && !errors.Is(delegateErr, io.ErrUnexpectedEOF) {
		return delegateErr
	}
	if err != nil {
		err = fmt.Errorf("the process in a user namespace: %w", err)
	}
	return errors.Join(delegateErr, err)
}

// delegate receives a BPF file system that the other process has opened, allows everything in its delegation options,
// mounts it, and sends the mount back.
func delegate(other *os.File) error {
	fs, err := receiveFile(other)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	for _, what := range []string{"delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"} {
		if err := unix.FsconfigSetString(fs, what, "any"); err != nil {
			return selftest.At(selftest.Using, fmt.Errorf("set %s: %w", what, err))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return selftest.At(selftest.Using, fmt.Errorf("create the file system: %w", err))
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount the file system: %w", err)
	}
	defer unix.Close(mount)
	return sendFile(other, mount)
}

// unprivileged is the part of the case that the process in the user namespace runs.
func unprivileged(t *selftest.Test, other *os.File) error {
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
		return fmt.Errorf("wait for the mounted file system from the other process: %w", err)
	}
	defer unix.Close(mount)
	if err := selftest.EnterNetwork(); err != nil {
		return err
	}
	if _, err := loadBy(t, ""); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("loading without a token returns %v", err)
	}
	module, err := loadBy(t, fmt.Sprintf("/proc/self/fd/%d", mount))
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
}

// loadBy loads the object with a token from the BPF file system at the path token, or without one if that is empty.
func loadBy(t *selftest.Test, token string) (*bpf.Module, error) {
	module, err := bpf.NewModuleFromBufferArgs(bpf.NewModuleArgs{BPFObjBuff: t.Object, BPFObjName: "selftest", BPFTokenPath: token})
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
