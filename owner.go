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

// Ownership: who owns, keeps alive and closes what.
//
//   - A [Module] refers to its object. The object owns libbpf's struct bpf_object, which owns the maps and
//     programs.
//   - A link, a reader, a feeder or a user ring is a child of the object: adopt registers it, and object.close
//     closes the registered children before the object, the newest first. A child that is closed earlier is
//     removed by disown.
//   - The object and its children don't refer to the module. So the module becomes unreachable when the user
//     drops it and its handles, and its cleanup then closes the object.
//   - Handles refer to their module and thereby keep it alive: [BPFMap], [BPFProg], [BPFLink], the readers and
//     buffers.
//   - Links and feeders continue to work when the user has dropped all handles, so they keep the module alive
//     themselves: links by an entry in linkedModules, a feeder by its goroutine, which refers to the module.

// An object owns the C side of a module.
type object struct {
	guard
	name    string
	btfPath string
	// btf is the open file at btfPath, until the load has read it.
	btf   *os.File
	c     *C.struct_bpf_object
	stage stage
	// image is the content of the ELF file, until the object is loaded.
	image []byte
	// references is true if maps are initialized with references to maps or programs.
	references bool
	// relocatesTypes is true if there are CO-RE relocations.
	relocatesTypes bool

	childMutex sync.Mutex // protects children and closing
	// children are in the order of their creation. closing is true once the object is being closed: there are no
	// children then, and none can be added.
	children []child
	closing  bool

	closeOnce sync.Once
}

// A stage is the progress of an object from its opening to its load.
type stage int

const (
	opened stage = iota
	prepared
	loaded
	loadFailed
)

// noObject is an object that is closed. It stands for the object of a nil or zero Module, and of the handles
// that belong to one.
var noObject = &object{guard: guard{closed: true}, closing: true}

// in returns the module's object. For a nil or zero module, it returns one that is closed.
func (m *Module) in() *object {
	if m == nil || m.object == nil {
		return noObject
	}
	return m.object
}

// A child owns C memory that must be freed before its object.
type child interface {
	close()
}

// onDropped is called with the name of each object that was closed by the garbage collector. Tests replace it.
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

// adopt registers c as a child: the object closes it before itself. If the object is closing already, the error
// is os.ErrClosed.
func (o *object) adopt(c child) error {
	o.childMutex.Lock()
	defer o.childMutex.Unlock()
	if o.closing {
		return os.ErrClosed
	}
	o.children = append(o.children, c)
	return nil
}

// disown removes a child that was closed by its own Close.
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

// linkedModules keeps modules alive whose programs are attached, and counts their links. Attached programs continue to
// run when the user has dropped the module, so the garbage collector must not close it.
var linkedModules = moduleLinks{links: make(map[*Module]int)}

type moduleLinks struct {
	mutex sync.Mutex
	links map[*Module]int
}

func (w *moduleLinks) add(m *Module, links int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.links[m] += links; w.links[m] <= 0 {
		delete(w.links, m)
	}
}

func (w *moduleLinks) remove(m *Module) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.links, m)
}
