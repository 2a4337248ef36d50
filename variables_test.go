package libbpfgo

import (
	"bytes"
	"syscall"
	"testing"
)

// libbpf has mapped memory for the maps behind global variables, whose size it takes from what the map is said
// to have.
func TestMapsOfVariablesKeepTheirShape(t *testing.T) {
	other := loadMain(t)
	m := openMain(t)
	for _, name := range []string{".rodata", ".data", ".bss"} {
		variables := getMap(t, m, name)
		before, err := variables.InitialValue()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint32{0, 2, 1 << 24} {
			wantErr(t, variables.SetMaxEntries(n), syscall.EINVAL, name, "variables")
			wantErr(t, variables.Resize(n), syscall.EINVAL, name, "variables")
		}
		for _, mapType := range []MapType{MapTypeHash, MapTypeArena} {
			wantErr(t, variables.SetType(mapType), syscall.EINVAL, name, "variables")
		}
		wantErr(t, variables.ReuseFD(getMap(t, other, "numbers").FileDescriptor()), syscall.EINVAL, name, "variables")
		if err := variables.SetMaxEntries(1); err != nil {
			t.Error(err)
		}
		if err := variables.SetType(MapTypeArray); err != nil {
			t.Error(err)
		}
		if err := variables.ReuseFD(getMap(t, other, name).FileDescriptor()); err != nil {
			t.Error(err)
		}
		after, err := variables.InitialValue()
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("initial value of %s is %x, %v, was %x", name, after, err, before)
		}
	}
	if err := m.BPFLoadObject(); err != nil {
		t.Error(err)
	}
	wantErr(t, getMap(t, m, ".data").ReuseFD(getMap(t, m, "numbers").FileDescriptor()), syscall.EINVAL, "variables")
}
