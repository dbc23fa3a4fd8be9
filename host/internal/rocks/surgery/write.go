package surgery

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Write makes the merged database in dir, an empty directory: link gives a file
// of a source its new name, and may copy it, durably then; nil stands for hard
// links. CURRENT comes last, so that there is no database before all of it is
// durable. It fails with [version.ErrCorrupt] when a table has not the size that
// its MANIFEST says.
func (m *Merged) Write(dir string, link func(from, to string) error) error {
	if link == nil {
		link = durable.Link
	}
	if err := m.write(dir, link); err != nil {
		return fmt.Errorf("merge into %s: %w", dir, err)
	}
	return nil
}

func (m *Merged) write(dir string, link func(from, to string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is in the way: %w", entries[0].Name(), os.ErrExist)
	}
	for _, f := range m.Files {
		if err := m.link(f, dir, link); err != nil {
			return err
		}
	}
	number := m.Set.NextFile - ownNumbers
	options := filepath.Join(dir, fmt.Sprintf("OPTIONS-%06d", number))
	err = durable.CreateFile(options, filePerm, func(w io.Writer) error {
		_, err := io.WriteString(w, m.Options)
		return err
	})
	if err != nil {
		return err
	}
	return install(dir, m.Set, number+1)
}

func (m *Merged) link(f File, dir string, link func(from, to string) error) error {
	to := filepath.Join(dir, f.To)
	if err := link(filepath.Join(m.sources[f.Source].Dir, f.From), to); err != nil {
		return err
	}
	info, err := os.Stat(to)
	if err == nil && f.Size > 0 && info.Size() != f.Size {
		err = fmt.Errorf("%w: %s of source %d has %d bytes, its MANIFEST says %d", version.ErrCorrupt, f.From, f.Source, info.Size(), f.Size)
	}
	return err
}
