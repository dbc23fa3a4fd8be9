package host

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// surveyTries bounds how often RocksDB may remove files while they are being listed.
const surveyTries = 10

// survey lists what a checkpoint made now would hold, without making one: a plan
// reads no byte of the files, so nothing has to keep them. Memtables are flushed as
// for a checkpoint.
func (h *Host) survey(flush rocks.Flush, origin blobOrigin) (*capture, error) {
	flushed, err := rocks.FlushFor(h.db, flush, 0)
	if err != nil {
		return nil, checkpointProblem(fmt.Errorf("plan: %w", err))
	}
	c, err := readLive(h.db.Path(), origin)
	if err == nil && !flushed {
		if flushed, err = rocks.FlushFor(h.db, flush, c.logBytes()); flushed && err == nil {
			c, err = readLive(h.db.Path(), origin)
		}
	}
	if err != nil {
		return nil, checkpointProblem(fmt.Errorf("plan: %w", err))
	}
	return c, nil
}

// logBytes returns the length of the WALs.
func (c *capture) logBytes() (size uint64) {
	for i := range c.files {
		if f := &c.files[i].entry; f.Kind == abi.KindWAL {
			size += uint64(f.Size)
		}
	}
	return size
}

// readLive lists the live files of a database directory, again when RocksDB has
// changed it meanwhile. The directory and its MANIFEST are read at a time first, which
// is quick, and then one after the other: what a MANIFEST names is complete.
func readLive(dir string, origin blobOrigin) (c *capture, err error) {
	c, err = lookLive(dir, origin, readFiles)
	for try := 1; try < surveyTries && hasChanged(err); try++ {
		c, err = lookLive(dir, origin, readInTurn)
	}
	return c, err
}

// hasChanged says whether files and MANIFEST that do not agree may have been read while
// RocksDB wrote or removed some.
func hasChanged(err error) bool {
	return errors.Is(err, abi.EINCOMPLETE) || errors.Is(err, abi.ECORRUPT) || errors.Is(err, fs.ErrNotExist)
}

// readInTurn reads what the MANIFEST of a directory says, and then what is there.
func readInTurn(dir string) (set *version.Set, found []fs.FileInfo, err error) {
	if set, err = version.Read(dir); err == nil {
		found, err = listFiles(dir)
	}
	return set, found, err
}

func lookLive(dir string, origin blobOrigin, read func(string) (*version.Set, []fs.FileInfo, error)) (*capture, error) {
	set, found, err := read(dir)
	if err != nil {
		return nil, err
	}
	c, err := newCapture(dir, set, onlyLive(set, found), origin)
	if err != nil {
		return nil, err
	}
	c.remove = func() error { return nil }
	return c, nil
}

// onlyLive leaves out what is in a database directory and not in its checkpoint.
func onlyLive(set *version.Set, found []fs.FileInfo) []fs.FileInfo {
	live := liveFiles(set)
	var options uint64 // the newest
	for _, f := range found {
		if kind, number, ok := version.FileKind(f.Name()); ok && kind == abi.KindOptions {
			options = max(options, number)
		}
	}
	return slices.DeleteFunc(found, func(f fs.FileInfo) bool {
		kind, number, ok := version.FileKind(f.Name())
		switch kind {
		case abi.KindTable, abi.KindBlob:
			return !live[f.Name()]
		case abi.KindOptions:
			return number != options
		case abi.KindManifest:
			return f.Name() != set.Manifest
		case abi.KindWAL:
			return number < set.MinLog() || f.Size() == 0
		}
		return !ok
	})
}
