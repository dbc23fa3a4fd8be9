//go:build cgo

package rocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/linxGnu/grocksdb"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Offline is a database directory that no process has open, held so that none
// opens it. It is only ever read: no file changes and no compaction starts. Its
// methods are safe for concurrent use.
type Offline struct {
	path    string
	lock    int          // descriptor, or unlocked
	set     *version.Set // nobody can change it
	foreign error        // why only the application can read records; files can be copied
	lease   lease

	mu       sync.Mutex
	instance *instance // open for reading, once a view asked for it
}

// OpenOffline takes hold of the database at path. It fails with fs.ErrNotExist
// when there is none, [ErrLocked], and as version.Read does.
func OpenOffline(path string) (*Offline, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("hold database: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, "CURRENT")); err != nil {
		return nil, fmt.Errorf("hold database %s: %w", path, err)
	}
	fd, err := lock(path)
	if err != nil {
		return nil, fmt.Errorf("hold database %s: %w", path, err)
	}
	set, err := version.Read(path)
	foreign := checkSettings(path)
	if err == nil && !errors.Is(foreign, ErrForeign) {
		err = foreign
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("hold database %s: %w", path, err)
	}
	return &Offline{path: path, lock: fd, set: set, foreign: foreign}, nil
}

// Path returns the directory of the database.
func (o *Offline) Path() string { return o.path }

// Identity returns the id of the database, as [DB.Identity] does.
func (o *Offline) Identity() (string, error) { return identity(o.path) }

// Acquire takes a lease: until release is called, Close waits. It fails with
// [ErrClosed] once Close has begun.
func (o *Offline) Acquire() (release func(), err error) { return o.lease.acquire(o.path) }

// Close waits until all leases are back and lets go of the database.
func (o *Offline) Close() error {
	o.lease.close(func() {
		if o.instance != nil {
			o.instance.close()
		}
		unix.Close(o.lock)
	})
	return nil
}

// Empty reports whether no file is live and no live WAL holds anything.
func (o *Offline) Empty() (bool, error) {
	release, err := o.Acquire()
	if err != nil {
		return false, err
	}
	defer release()
	for _, f := range o.set.Families {
		if len(f.Tables)+len(f.Blobs) > 0 {
			return false, nil
		}
	}
	logs, err := o.logs()
	return len(logs) == 0, err
}

func (o *Offline) logs() ([]string, error) { return LiveLogs(o.path, o.set) }

// LiveLogs names the WALs of a closed database that a recovery would replay and
// that are not empty.
func LiveLogs(dir string, set *version.Set) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list WALs: %w", err)
	}
	var names []string
	for _, e := range entries {
		kind, number, ok := version.FileKind(e.Name())
		if !ok || kind != abi.KindWAL || number < set.MinLog() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list WALs: %w", err)
		}
		if info.Size() > 0 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// read returns the instance that is open for reading, opening it when it is the
// first to ask.
func (o *Offline) read() (*instance, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.instance != nil {
		return o.instance, nil
	}
	if o.foreign != nil {
		return nil, fmt.Errorf("open database %s for reading: %w", o.path, o.foreign)
	}
	in, err := openInstance(o.path, o.set, openReader)
	if err != nil {
		return nil, fmt.Errorf("open database %s for reading: %w", o.path, err)
	}
	o.instance = in
	return in, nil
}

// readerTables bounds the number of tables that a reader keeps open, so that
// memory does not grow with the database.
const readerTables = 128

// openReader opens a database for reading only. RocksDB then writes no file, not
// even its own log.
func openReader(database *grocksdb.Options, path string, names []string, families []*grocksdb.Options) (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle, error) {
	database.SetMaxOpenFiles(readerTables)
	for _, f := range families {
		readLightly(f)
	}
	return grocksdb.OpenDbForReadOnlyColumnFamilies(database, path, names, families, false)
}
