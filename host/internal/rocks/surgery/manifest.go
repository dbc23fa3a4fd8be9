package surgery

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// filePerm is the mode that RocksDB gives to its files.
const filePerm = 0o644

// WriteManifest makes a closed database consist of the files of a set, durably
// and at once: it writes a MANIFEST of its own number, names it in CURRENT, and
// removes the former one. The files of the set lie in dir already; others that
// have a number are removed by RocksDB when it opens the database.
func WriteManifest(dir string, set *version.Set) error {
	number, err := freeNumber(dir, set.NextFile)
	if err != nil {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	former, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	if err := install(dir, set, number); err != nil {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	return removeManifest(dir, string(former))
}

// freeNumber returns a number, next or above, that no file in dir has.
func freeNumber(dir string, next uint64) (uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, number, ok := version.FileKind(e.Name()); ok {
			next = max(next, number+1)
		}
	}
	return next, nil
}

// install writes a MANIFEST of the given number, and CURRENT after all else is
// durable.
func install(dir string, set *version.Set, number uint64) error {
	whole := *set
	whole.NextFile = max(set.NextFile, number+1)
	whole.Manifest = fmt.Sprintf("MANIFEST-%06d", number)
	err := durable.CreateFile(filepath.Join(dir, whole.Manifest), filePerm, func(w io.Writer) error {
		return version.Write(w, &whole)
	})
	if err != nil {
		return err
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	return replace(filepath.Join(dir, "CURRENT"), whole.Manifest+"\n")
}

// replace replaces a file durably. The temporary one has a name that RocksDB
// clears away.
func replace(path, text string) error {
	tmp := path + ".dbtmp"
	if err := durable.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := durable.CreateFile(tmp, filePerm, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
	if err != nil {
		return err
	}
	return durable.Rename(tmp, path)
}

// removeManifest removes the MANIFEST that a former CURRENT named. What is left
// of one that nothing names does no harm, so a CURRENT that is no good is passed
// over.
func removeManifest(dir, current string) error {
	name := strings.TrimSuffix(current, "\n")
	if _, _, ok := version.FileKind(name); !ok || !strings.HasPrefix(name, "MANIFEST-") {
		return nil
	}
	err := durable.Remove(filepath.Join(dir, name))
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
