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

// The largest files that are read: far more than there is use for, and less than would use up the memory.
const (
	maxObjectSize  = 256 << 20 // bytes; a program has 8 MB at most
	maxBTFSize     = 256 << 20 // bytes; a kernel's has 10 MB
	maxKConfigSize = 16 << 20  // bytes, unpacked; a kernel's has 300 kB
)

// openRegular opens a file to read it. What is no regular file isn't waited for, but refused.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, errors.Unwrap(err) // the path is named by the caller
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

// readAtMost reads all there is, up to a limit in bytes.
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

// readObject returns the content of an object file; of one that is no ELF file, its beginning.
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

// openBTF opens a file with BTF, by itself or in a section of an ELF file. libbpf opens it again at the load, by the
// descriptor's path in /proc (see descriptorPath): path itself may lead to another file by then, one that never ends.
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

// readKConfig returns the text of a kernel configuration, which may be gzipped as /proc/config.gz.
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
