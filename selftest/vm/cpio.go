package main

import (
	"fmt"
	"io"
	"os"
)

// A cpio writes an archive in the format "newc", the format of an initramfs. After the first error it writes nothing
// more.
type cpio struct {
	w      io.Writer
	err    error
	inode  int
	offset int
}

func (c *cpio) folder(name string) {
	c.header(name, 0o040755, 0)
}

// file adds the file at path.
func (c *cpio) file(name, path string) {
	if c.err != nil {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		c.err = err
		return
	}
	c.header(name, 0o100755, len(data))
	c.write(data)
	c.align()
}

func (c *cpio) end() {
	c.header("TRAILER!!!", 0, 0)
}

func (c *cpio) header(name string, mode, size int) {
	c.inode++
	// The fields are: magic, inode, mode, user, group, links, time, size, four device numbers, length of the name,
	// checksum (unused).
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0))
	c.write(append([]byte(name), 0))
	c.align()
}

// align pads the archive to a multiple of 4 bytes.
func (c *cpio) align() {
	c.write(make([]byte, -c.offset&3))
}

func (c *cpio) write(data []byte) {
	if c.err != nil {
		return
	}
	_, c.err = c.w.Write(data)
	c.offset += len(data)
}
