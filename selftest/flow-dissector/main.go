// Flow-dissector checks that a program takes apart the headers of packets whose flow is asked for.
package main

import (
	_ "embed"

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
	return selftest.InNetwork(func() error {
		return selftest.One(object, func(prog *bpf.BPFProg) (*bpf.BPFLink, error) {
			return prog.AttachNetns("/proc/thread-self/ns/net")
		}, fanOut)
	})
}

// fanOut sends a packet past a socket of a group among which packets are shared out by their flow.
func fanOut() error {
	const allProtocols = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, allProtocols)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: selftest.Loopback}); err != nil {
		return err
	}
	const group = 1
	if err := unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_FANOUT, group|unix.PACKET_FANOUT_HASH<<16); err != nil {
		return err
	}
	return selftest.Datagram()
}
