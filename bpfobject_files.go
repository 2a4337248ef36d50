//go:build cgo && linux

package libbpfgo

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The limits of the files that are read: far above real sizes, and small enough not to exhaust the memory.
const (
	maxObjectSize  = 256 << 20 // bytes; one program has at most 8 MB
	maxBTFSize     = 256 << 20 // bytes; a kernel has 10 MB of BTF
	maxKConfigSize = 16 << 20  // bytes, unpacked; a kernel's configuration has 300 kB
)

// openRegular opens a regular file for reading. It refuses other files, without waiting for a writer of a FIFO.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, errors.Unwrap(err) // the caller adds the path
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = errors.Unwrap(err)
	case info.IsDir():
		err = syscall.EISDIR
	case !info.Mode().IsRegular():
		err = fmt.Errorf("not a regular file: %w", syscall.EINVAL)
	default:
		return file, info, nil
	}
	_ = file.Close()
	return nil, nil, err
}

// readAtMost reads r to its end. More than limit bytes are an error.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(limit)
	}
	return data, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("more than %d bytes: %w", limit, syscall.EFBIG)
}

// readObject returns the content of an object file. Of a file that isn't ELF, it returns only the first bytes, which
// checkObject refuses.
func readObject(path string) ([]byte, error) {
	file, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	magic := make([]byte, len(elf.ELFMAG))
	if n, _ := io.ReadFull(file, magic); string(magic[:n]) != elf.ELFMAG {
		return magic[:n], nil
	}
	if info.Size() > maxObjectSize {
		return nil, tooLarge(maxObjectSize)
	}
	return readAtMost(io.MultiReader(bytes.NewReader(magic), file), maxObjectSize)
}

// openBTF opens a file with BTF, either raw or in a section of an ELF file. At the load, libbpf opens the file again,
// by the descriptor's path in /proc (see descriptorPath): by then, path itself may lead to another file, even an
// endless one.
func openBTF(path string) (*os.File, error) {
	file, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	size := uint64(info.Size())
	if image, err := elf.NewFile(file); err == nil {
		size = 0
		if section := image.Section(".BTF"); section != nil {
			size = section.Size
		}
	}
	if size > maxBTFSize {
		_ = file.Close()
		return nil, tooLarge(maxBTFSize)
	}
	return file, nil
}

// readKConfig returns the text of a kernel configuration file, which may be gzipped like /proc/config.gz.
func readKConfig(path string) (string, error) {
	file, _, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := readAtMost(file, maxKConfigSize)
	if err != nil {
		return "", err
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return "", err
		}
		if data, err = readAtMost(unzipped, maxKConfigSize); err != nil {
			return "", err
		}
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return "", fmt.Errorf("not a text: byte %d is 0", i)
	}
	return string(data), nil
}
