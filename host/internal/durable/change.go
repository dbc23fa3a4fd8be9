package durable

import (
	"io/fs"
	"os"
	"sync/atomic"
)

// Op is one change of the file system that is about to be made.
type Op struct {
	Verb string // create, write, append, sync, link, rename, mkdir, chmod or remove
	Path string // of what is changed; of a link or rename, the new name
}

// Interceptor stands in for a change: it returns the error that the change has,
// and decides whether change, which makes it, is called.
type Interceptor func(op Op, change func() error) error

// interceptor is nil unless a test has set it.
var interceptor atomic.Pointer[Interceptor]

// Intercept puts a function in front of every change that this process makes
// through this package, until restore is called. It is for tests that stop a
// program at each of its changes, one after the other. Changes that run at the
// same time are intercepted at the same time. RocksDB's own are not seen.
func Intercept(fn Interceptor) (restore func()) {
	before := interceptor.Swap(&fn)
	return func() { interceptor.Store(before) }
}

// Change makes one change of the file system that has no function of its own
// here. Like those of the functions below, it does not outlive a power cut by
// itself; it is named so that it can be intercepted.
func Change(verb, path string, change func() error) error {
	if intercept := interceptor.Load(); intercept != nil {
		return (*intercept)(Op{verb, path}, change)
	}
	return change()
}

// Mkdir makes a directory, as os.Mkdir does.
func Mkdir(dir string, perm fs.FileMode) error {
	return Change("mkdir", dir, func() error { return os.Mkdir(dir, perm) })
}

// Link gives a file a second name, as os.Link does.
func Link(from, to string) error {
	return Change("link", to, func() error { return os.Link(from, to) })
}

// Move renames a file or directory, as os.Rename does.
func Move(from, to string) error {
	return Change("rename", to, func() error { return os.Rename(from, to) })
}

// Remove removes a file or an empty directory, as os.Remove does.
func Remove(path string) error {
	return Change("remove", path, func() error { return os.Remove(path) })
}

// RemoveAll removes a path and everything below it, as os.RemoveAll does. It
// counts as one change, although it is none that happens at once.
func RemoveAll(path string) error {
	return Change("remove", path, func() error { return os.RemoveAll(path) })
}
