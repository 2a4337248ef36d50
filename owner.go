package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

import (
	"os"
	"slices"
	"sync"
)

// Who owns, keeps alive and closes whom.
//
//   - A [Module] refers to its object, which owns the bpf_object and so its maps and programs.
//   - A link, a reader, a feeder or a user ring is a child of the object: adopt makes the object close it before itself,
//     the last one first, and disown undoes that once it was closed by itself.
//   - The object and its children don't refer to the module. So the garbage collector finds out when nobody uses the
//     module any more, and a cleanup closes the object.
//   - Handles refer to their module, which keeps it: [BPFMap], [BPFProg], [BPFLink], the readers and buffers.
//   - What goes on when no handle is left keeps the module by atWork (links) or by a goroutine that has it (feeders).

// An object owns the C side of a module.
type object struct {
	guard
	name    string
	btfPath string
	// btf is the file at btfPath, until libbpf has read it.
	btf   *os.File
	c     *C.struct_bpf_object
	stage stage
	// image is the ELF file, until the object is loaded.
	image []byte
	// references is true if maps are initialized with references to maps or programs.
	references bool
	// relocatesTypes is true if there are CO-RE relocations.
	relocatesTypes bool

	childMutex sync.Mutex // of children and closing
	// children are in the order of their making; nil for good once the object is closing.
	children []child
	closing  bool

	closeOnce sync.Once
}

// noObject was closed from the beginning. It is that of nil and zero values of Module and of what belongs to one.
var noObject = &object{guard: guard{closed: true}, closing: true}

// in returns the object; for nil and the zero value, one that is closed.
func (m *Module) in() *object {
	if m == nil || m.object == nil {
		return noObject
	}
	return m.object
}

// A child is a C object that must be freed before the object it came from.
type child interface {
	close()
}

// onDropped is told the name of each object that the garbage collector had to close.
var onDropped = func(string) {}

func (o *object) dropped() {
	o.close()
	onDropped(o.name)
}

func (o *object) close() {
	o.closeOnce.Do(func() {
		o.childMutex.Lock()
		o.closing = true
		children := o.children
		o.children = nil
		o.childMutex.Unlock()
		for _, c := range slices.Backward(children) {
			c.close()
		}

		o.mutex.Lock()
		defer o.mutex.Unlock()
		o.closed = true
		C.bpf_object__close(o.c)
		o.c = nil
		o.image = nil
		o.closeBTF()
	})
}

func (o *object) closeBTF() {
	_ = o.btf.Close() // of nil, it returns an error
	o.btf = nil
}

// adopt makes the object close c before itself. It fails if the object is closing.
func (o *object) adopt(c child) error {
	o.childMutex.Lock()
	defer o.childMutex.Unlock()
	if o.closing {
		return os.ErrClosed
	}
	o.children = append(o.children, c)
	return nil
}

// disown undoes adopt, after c was closed.
func (o *object) disown(c child) {
	o.childMutex.Lock()
	defer o.childMutex.Unlock()
	if i := slices.Index(o.children, c); i >= 0 {
		o.children = slices.Delete(o.children, i, i+1)
	}
}

// links returns the links that are open.
func (o *object) links() []*link {
	o.childMutex.Lock()
	defer o.childMutex.Unlock()
	var list []*link
	for _, c := range o.children {
		if l, ok := c.(*link); ok {
			list = append(list, l)
		}
	}
	return list
}

// atWork holds the modules with programs that are attached, and how many links those have. They
// go on working when nobody holds their module, so the garbage collector must not close it.
var atWork = modulesAtWork{links: make(map[*Module]int)}

type modulesAtWork struct {
	mutex sync.Mutex
	links map[*Module]int
}

func (w *modulesAtWork) add(m *Module, links int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.links[m] += links; w.links[m] <= 0 {
		delete(w.links, m)
	}
}

func (w *modulesAtWork) remove(m *Module) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.links, m)
}
