package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// replaced is the database in the target of a restore with Delta. It stays as it is,
// and locked, until the new one is complete and takes its place.
type replaced struct {
	dir     string
	info    fs.FileInfo // of the directory
	release func()
}

// checkReplaceable accepts a directory that holds a database and nothing else: all
// that is there is going to be removed.
func checkReplaceable(target string, entries []fs.DirEntry) error {
	isDatabase := false
	for _, e := range entries {
		kind, _, known := version.FileKind(e.Name())
		isDatabase = isDatabase || known && (kind == abi.KindCurrent || kind == abi.KindManifest)
		if !e.Type().IsRegular() || !known && !isBeside(e.Name()) {
			return problem(CodeFailed, fmt.Errorf("restore: target %s holds %s, which is no file of a database", target, e.Name()),
				"move it elsewhere, as all that is in the target is replaced; nothing was changed")
		}
	}
	if !isDatabase {
		return problem(CodeFailed, fmt.Errorf("restore: target %s is no database", target), "name one, or an empty or absent directory; nothing was changed")
	}
	return nil
}

// isBeside tells whether RocksDB or a restore leaves files of a name beside those of
// which a database consists.
func isBeside(name string) bool {
	if slices.Contains([]string{"LOCK", "LOG", "IDENTITY", noteFile}, name) || strings.HasPrefix(name, "LOG.old.") {
		return true
	}
	for _, suffix := range []string{".dbtmp", ".trash"} {
		stem, found := strings.CutSuffix(name, suffix)
		_, _, known := version.FileKind(stem)
		if found && (known || isBeside(stem) || isNumber(stem)) {
			return true
		}
	}
	return false
}

// isNumber tells whether a name is one of RocksDB's numbers: so it calls what is to
// become CURRENT.
func isNumber(name string) bool {
	_, _, known := version.FileKind(name + ".log")
	return known
}

// hold locks the database that is to be replaced, if there is one, and finds out
// which of its files may be those of the snapshot.
func (w *restoration) hold(target string) error {
	if !w.options.Delta {
		return nil
	}
	if why := w.refusesFiles(); why != "" {
		return problem(CodeUsage, fmt.Errorf("restore: no files can be reused: %s", why), "restore it into an absent or empty directory")
	}
	if entries, err := os.ReadDir(target); errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	info, err := os.Lstat(target)
	if err != nil {
		return fmt.Errorf("restore: target: %w", err)
	}
	release, err := rocks.Hold(target)
	if errors.Is(err, rocks.ErrLocked) {
		return problem(CodeFenced, fmt.Errorf("restore: target: %w", err), "close the database that is to be replaced")
	}
	if err != nil {
		return fmt.Errorf("restore: target: %w", err)
	}
	w.old = &replaced{target, info, release}
	w.findReplaced(w.parts[0])
	return nil
}

// findReplaced enters the files of the old database that have the name and the size
// of one that is wanted. Whether they are the same is found out when they are taken;
// only the manifest is asked, which of encrypted files does not know it.
func (w *restoration) findReplaced(p *part) {
	for i := range p.Contents {
		f, at := &p.Contents[i], unix.Stat_t{}
		path := filepath.Join(w.old.dir, f.Name)
		fixed := f.Kind == abi.KindTable || f.Kind == abi.KindBlob
		if !fixed || f.Stored > 0 || unix.Lstat(path, &at) != nil || at.Mode&unix.S_IFMT != unix.S_IFREG || at.Size != f.Size {
			continue
		}
		if _, found := w.local[p.path(f.Name)]; found {
			continue
		}
		w.local[p.path(f.Name)] = localFile{
			path: path, size: f.Size, room: min(f.Size, w.expected(p, f)), digest: f.Digest, linked: w.mayShare(&at), replaced: true,
		}
	}
}

// mayShare tells whether a file of the old database can become one of the new one,
// or only be copied. One with a further name may be an object of the repository.
func (w *restoration) mayShare(at *unix.Stat_t) bool {
	return int(at.Uid) == os.Geteuid() && at.Mode&0o022 == 0 && (at.Nlink == 1 || w.options.Link)
}

// tryExchange finds out, before anything is fetched, whether the new database will be
// able to take the place of the old one.
func (w *restoration) tryExchange() error {
	if w.old == nil {
		return nil
	}
	err := durable.Exchange(w.staging.work(partsFolder), w.staging.work(linksFolder)) // both are empty
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return problem(CodeFailed, fmt.Errorf("restore: target %s: %w", w.old.dir, err),
			"its file system cannot replace a database at once; restore into an absent directory")
	}
	return err
}

// replace gives the new database the name of the old one, which is removed when the
// name is durable. Until then each of them is complete.
func (w *restoration) replace() error {
	s, target := w.staging, w.old.dir
	if err := checkTarget(target, true); err != nil { // what somebody has put there meanwhile would go too
		return err
	}
	if now, err := os.Lstat(target); err != nil || !os.SameFile(now, w.old.info) {
		return problem(CodeFailed, errors.Join(fmt.Errorf("restore: target %s is another directory than it was", target), err), "nothing was changed; see who else uses it")
	}
	if err := durable.Exchange(s.dir, target); err != nil {
		s.exchanged = errors.Is(err, durable.ErrUnsynced)
		return fmt.Errorf("restore: %w", err)
	}
	if err := durable.RemoveAll(s.dir); err != nil {
		w.log.Warn("what is left of the replaced database is removed by the next restore to this target", "folder", s.dir, "error", err)
	}
	return nil
}

// free lets go of the old database, or of what is left of it. A nil one is none.
func (r *replaced) free() {
	if r != nil {
		r.release()
	}
}
