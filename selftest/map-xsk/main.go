// Map-xsk checks that a program sends packets on to the XDP socket that the process has put into a map.
package main

import (
	_ "embed"
	"fmt"
	"unsafe"

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
	if err := selftest.NeedMap(bpf.MapTypeXSKMap); err != nil {
		return err
	}
	module, err := selftest.Load(object)
	if err != nil {
		return err
	}
	defer module.Close()
	prog, err := module.GetProgram("prog")
	if err != nil {
		return err
	}
	sockets, err := module.GetMap("sockets")
	if err != nil {
		return err
	}
	socket, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	// Linux 7.3 takes no socket that can't receive.
	if err := unix.SetsockoptInt(socket, unix.SOL_XDP, unix.XDP_RX_RING, 2); err != nil {
		return err
	}
	const drop, redirect = 1, 4 // XDP_DROP, XDP_REDIRECT
	expect := func(when string, want uint32) error {
		opts := bpf.RunOpts{DataIn: make([]byte, 64), DataSizeIn: 64}
		if err := prog.Run(&opts); err != nil || opts.RetVal != want {
			return fmt.Errorf("%s, the result is %d, %v", when, opts.RetVal, err)
		}
		return nil
	}
	if err := expect("without an element", drop); err != nil {
		return err
	}
	key, value := uint32(1), uint32(socket)
	if err := sockets.Update(unsafe.Pointer(&key), unsafe.Pointer(&value)); err != nil {
		return err
	}
	if err := expect("with an element", redirect); err != nil {
		return err
	}
	if err := sockets.DeleteKey(unsafe.Pointer(&key)); err != nil {
		return err
	}
	return expect("after the element was deleted", drop)
}
