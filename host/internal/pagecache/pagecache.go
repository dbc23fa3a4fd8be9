// Package pagecache reads files and leaves the kernel's page cache as it was. A
// file that is read once, to be copied, would push out what others read often.
package pagecache

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// window is how much of a file is in the cache for its own sake at a time, in
// bytes, beside what the kernel reads ahead.
const window = 16 << 20

var pageSize = int64(os.Getpagesize())

// File is a file that is read from its beginning to its end. What of it was not in
// the page cache when it was opened is not there when it is closed; what was there
// stays.
type File struct {
	file *os.File
	size int64 // when it was opened
	pos  int64
	left int64  // up to where the cache is as it was
	cold []span // beyond that: what was not in the cache
}

// span is a range of a file, in bytes, of whole pages.
type span struct{ start, end int64 }

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
	for start := int64(0); start < file.size; start += window {
		file.cold = appendCold(file.cold, f, start, min(window, file.size-start))
	}
	return file, nil
}

// Length returns the length that the file had when it was opened, in bytes.
func (f *File) Length() int64 { return f.size }

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) {
	n, err := f.file.Read(p)
	f.pos += int64(n)
	if f.pos-f.left >= window {
		f.leave(f.pos / pageSize * pageSize)
	}
	return n, err
}

// Close closes the file.
func (f *File) Close() error {
	f.leave(f.size + pageSize) // more may have been read ahead than was asked for
	return f.file.Close()
}

// leave drops from the cache what reading has brought there, up to an offset.
func (f *File) leave(to int64) {
	for len(f.cold) > 0 && f.cold[0].start < to {
		s := &f.cold[0]
		end := min(s.end, to)
		_ = unix.Fadvise(int(f.file.Fd()), s.start, end-s.start, unix.FADV_DONTNEED)
		if s.start = end; end == s.end {
			f.cold = f.cold[1:]
		}
	}
	f.left = to
}

// appendCold appends what of a range is not in the cache. Where the kernel does not
// say, that is nothing: then nothing will be dropped.
func appendCold(cold []span, f *os.File, start, length int64) []span {
	if isCached(f, start, length) {
		return cold
	}
	mapped, err := unix.Mmap(int(f.Fd()), start, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return cold
	}
	defer unix.Munmap(mapped)
	pages := make([]byte, pagesOf(length))
	// Nothing touches what is mapped: it is only asked about.
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		return cold
	}
	for i, page := range pages {
		at := start + int64(i)*pageSize
		switch last := len(cold) - 1; {
		case page&1 != 0:
		case last >= 0 && cold[last].end == at:
			cold[last].end += pageSize
		default:
			cold = append(cold, span{at, at + pageSize})
		}
	}
	return cold
}

// isCached says whether a range is all in the cache. It asks in a way that costs a
// tenth, but that Linux before 6.5 does not know, and that only counts.
func isCached(f *os.File, start, length int64) bool {
	var found unix.Cachestat_t
	err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: uint64(start), Len: uint64(length)}, &found, 0)
	return err == nil && int64(found.Cache) == pagesOf(length)
}

func pagesOf(length int64) int64 { return (length + pageSize - 1) / pageSize }
