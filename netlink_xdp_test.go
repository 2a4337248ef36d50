package libbpfgo

import (
	"syscall"
	"testing"
)

func TestAttachXDPLegacy(t *testing.T) {
	m := loadAttach(t, "on_xdp")
	other := loadAttach(t, "on_xdp")
	prog := getProgram(t, m, "on_xdp")
	inOwnNetwork(t, func() {
		if err := prog.AttachXDPLegacy("lo", XDPFlagsSkbMode); err != nil {
			t.Fatal(err)
		}
		ping(t)
		if n := calls(t, m, callsXDP); n != 1 {
			t.Errorf("the program ran %d times, want 1", n)
		}
		err := getProgram(t, other, "on_xdp").AttachXDPLegacy("lo", XDPFlagsSkbMode|XDPFlagsUpdateIfNoExist)
		wantErr(t, err, syscall.EBUSY, "on_xdp", `"lo"`)
		wantErr(t, getProgram(t, other, "on_xdp").DetachXDPLegacy("lo", XDPFlagsSkbMode), syscall.EEXIST, "on_xdp", `"lo"`)
		if err := prog.DetachXDPLegacy("lo", XDPFlagsSkbMode); err != nil {
			t.Error(err)
		}
		ping(t)
		if n := calls(t, m, callsXDP); n != 1 {
			t.Errorf("the program ran %d times, want 1", n)
		}
		wantErr(t, prog.AttachXDPLegacy("nothing", 0), syscall.ENODEV, "on_xdp", "nothing")
		wantErr(t, prog.DetachXDPLegacy("nothing", 0), syscall.ENODEV, "on_xdp", "nothing")
	})
}
