package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/pagecache"
)

// checkLink refuses to link where no object can be the database's own file.
func (h *Host) checkLink(o SnapshotOptions) error {
	_, _, remote := h.config().Repository.S3()
	switch {
	case !o.Link:
		return nil
	case remote:
		return cannotLink("the repository is no folder")
	case h.keys.recipients != nil:
		return cannotLink("the repository is encrypted")
	case o.Savepoint:
		return cannotLink("a savepoint shares nothing, and so no file of the database")
	}
	return nil
}

func cannotLink(why string) error {
	return problem(CodeUsage, fmt.Errorf("snapshot: files cannot be linked: %s", why), "take it without --link; then it is a copy")
}

// links says whether a file is to be linked: what never changes may be the same
// file twice.
func (s *session) links(kind abi.Kind) bool {
	return s.link && (kind == abi.KindTable || kind == abi.KindBlob)
}

// linkFile makes a file of the checkpoint an object, with no copy of its bytes. They
// are read all the same, for the digests. Nothing is noted: a later session that
// does not link must not take the file for a copy.
func (s *session) linkFile(ctx context.Context, entry *catalog.File) error {
	path := filepath.Join(s.capture.dir, entry.Name)
	file, err := pagecache.Open(path)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	defer file.Close()
	want := entry.Size
	crc, err := s.prove(ctx, entry, s.run.Mint(), file)
	if err != nil {
		return fmt.Errorf("upload %s: %w", entry.Name, err)
	}
	entry.Linked = true
	if err := proveRead(entry, want, crc); err != nil {
		return err
	}
	if err = durable.SyncFile(path); err != nil { // who has written it may not have
		return fmt.Errorf("upload: %w", err)
	}
	err = blob.Adopt(ctx, s.host.store, entry.Object, path)
	switch {
	case errors.Is(err, unix.EXDEV):
		return cannotLink("the repository is on another file system than the database")
	case errors.Is(err, errors.ErrUnsupported):
		return cannotLink("the store cannot do that")
	case err != nil:
		return fmt.Errorf("upload %s: %w", entry.Name, err)
	}
	return nil
}

// markLinked says in the summary whether the snapshot is no backup.
func markLinked(m *Manifest) {
	for i := range m.Contents {
		m.Linked = m.Linked || m.Contents[i].Linked
	}
}
