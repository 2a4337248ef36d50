package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"syscall"
)

// InitGlobalVariable sets a global variable in a .data or .rodata section. It must be called before the load. value is
// a type that [binary.Write] supports: a number, or a struct or array of fixed size. It must not be larger than the
// variable.
func (m *Module) InitGlobalVariable(name string, value interface{}) error {
	if err := m.initGlobalVariable(name, value); err != nil {
		return failedf(err, "set global variable %q of object %q", name, m.in().name)
	}
	return nil
}

func (m *Module) initGlobalVariable(name string, value any) error {
	o := m.in()
	if err := o.lock(); err != nil {
		return err
	}
	defer o.unlock()
	if o.stage == loaded {
		return o.stage.beforeLoad(syscall.EBUSY)
	}
	variable, err := findVariable(o.image, name)
	if err != nil {
		return err
	}
	if v := reflect.ValueOf(value); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("nil value: %w", syscall.EINVAL)
	}
	var data bytes.Buffer
	if err := binary.Write(&data, variable.order, value); err != nil {
		return err
	}
	if data.Len() == 0 {
		return fmt.Errorf("empty value: %w", syscall.EINVAL)
	}
	bpfMap, err := m.mapByName(variable.section)
	if err != nil {
		return err
	}
	size := int(C.bpf_map__value_size(bpfMap.c))
	if uint64(data.Len()) > variable.size {
		return fmt.Errorf("value of %d bytes for a variable of %d: %w", data.Len(), variable.size, syscall.EINVAL)
	}
	initial := make([]byte, size)
	copy(initial, bpfMap.initialValue())
	if variable.offset > uint64(size) || uint64(data.Len()) > uint64(size)-variable.offset {
		return fmt.Errorf("variable lies outside of map %q: %w", variable.section, syscall.EINVAL)
	}
	copy(initial[variable.offset:], data.Bytes())
	return o.stage.beforeLoad(codeOf(C.golibbpf_map_set_initial_value(bpfMap.c, bytesC(initial), C.size_t(size))))
}

// A Symbol is the position of a global variable in its section.
type Symbol struct {
	section      string
	offset, size uint64
	order        binary.ByteOrder
}

func findVariable(image []byte, name string) (Symbol, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return Symbol{}, err
	}
	symbols, err := file.Symbols()
	if err != nil {
		return Symbol{}, err
	}
	for _, s := range symbols {
		if s.Name != name || int(s.Section) >= len(file.Sections) {
			continue
		}
		section := file.Sections[s.Section].Name
		if isSectionOf(section, ".data") || isSectionOf(section, ".rodata") {
			return Symbol{section, s.Value, s.Size, file.ByteOrder}, nil
		}
	}
	return Symbol{}, fmt.Errorf("no such variable in .data or .rodata: %w", syscall.ENOENT)
}

// isSectionOf reports whether section is kind, or kind with a suffix, as clang names further sections of a kind.
func isSectionOf(section, kind string) bool {
	return section == kind || strings.HasPrefix(section, kind+".")
}
