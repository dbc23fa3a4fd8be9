// Package pagecache reads files and leaves the kernel's page cache as it was. A
// file that is read once, to be copied, would push out what others read often.
package pagecache

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// window is how much of a file is looked after at a time, in bytes. What the kernel
// reads ahead of a window stays within the next one.
const window = 16 << 20

// File is a file that is read from its beginning to its end. What of it was not in
// the page cache before is not there afterwards; what was there stays.
type File struct {
	file   *os.File
	size   int64 // when it was opened
	pos    int64
	before [2][]byte // for each page of this window and of the next, whether it was cached
}

// Open opens a file for reading.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	file := &File{file: f, size: info.Size()}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // it is only advice
	file.before[0], file.before[1] = file.cached(0), file.cached(window)
	return file, nil
}

// Size returns the length that the file had when it was opened, in bytes.
func (f *File) Size() int64 { return f.size }

// Read implements io.Reader. It reads no further than to the end of a window.
func (f *File) Read(p []byte) (int, error) {
	n, err := f.file.Read(p[:min(int64(len(p)), window-f.pos%window)])
	f.pos += int64(n)
	if n > 0 && f.pos%window == 0 {
		f.leave(f.pos - window)
		f.before[0], f.before[1] = f.before[1], f.cached(f.pos+window)
	}
	return n, err
}

// Close closes the file.
func (f *File) Close() error {
	if read := f.pos % window; read > 0 {
		f.leave(f.pos - read)
	}
	return f.file.Close()
}

// leave drops what reading the window from start has brought into the cache.
func (f *File) leave(start int64) {
	page := int64(os.Getpagesize())
	before := f.before[0]
	for i := 0; i < len(before); {
		n := i
		for n < len(before) && before[n] == before[i] {
			n++
		}
		if before[i] == 0 {
			_ = unix.Fadvise(int(f.file.Fd()), start+int64(i)*page, int64(n-i)*page, unix.FADV_DONTNEED)
		}
		i = n
	}
}

// cached tells for each page of the window from start whether it is in the cache.
// Where the kernel does not say, it is nil, and nothing will be dropped.
func (f *File) cached(start int64) []byte {
	length := min(window, f.size-start)
	if length <= 0 {
		return nil
	}
	mapped, err := unix.Mmap(int(f.file.Fd()), start, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	defer unix.Munmap(mapped)
	page := os.Getpagesize()
	pages := make([]byte, (len(mapped)+page-1)/page)
	// Nothing touches what is mapped: it is only asked about.
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		return nil
	}
	for i := range pages {
		pages[i] &= 1
	}
	return pages
}
