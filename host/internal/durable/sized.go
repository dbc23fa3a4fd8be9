package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// CreateSized creates a file of what r yields, as [CreateFrom] does, where it is
// known how many bytes that will be. A full disk shows at once, and files that grow
// side by side do not lie on the disk in slices of one another.
func CreateSized(path string, perm fs.FileMode, size int64, r io.Reader) error {
	return createFile(path, perm, func(f *os.File) error {
		if err := reserve(f, size); err != nil {
			return err
		}
		return copyBody(f, r)
	})
}

// reserve finds room on the disk for an empty file, which stays empty. It fails only
// where there is none: not every file system can tell.
func reserve(f *os.File, size int64) error {
	if size <= pieceSize {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &os.PathError{Op: "reserve", Path: f.Name(), Err: err}
	}
	return nil
}
