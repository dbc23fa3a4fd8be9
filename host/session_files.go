package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

const filePhases = abi.PhasePrepare | abi.PhaseSnapshot

// FilesRead lists the checkpoint.
func (s *session) FilesRead(start int, dst []abi.File) (int, error) {
	if err := s.allow("files_read", filePhases); err != nil {
		return 0, err
	}
	if s.capture == nil {
		return 0, fmt.Errorf("files_read before checkpoint: %w", abi.EPHASE)
	}
	n := 0
	for ; n < len(dst) && start >= 0 && start+n < len(s.capture.files); n++ {
		dst[n] = s.capture.files[start+n].record
	}
	return n, nil
}

// FileName returns the name of a file of the checkpoint.
func (s *session) FileName(id uint32) (string, error) {
	f, err := s.file(id)
	if err != nil {
		return "", err
	}
	return f.entry.Name, nil
}

func (s *session) file(id uint32) (*capturedFile, error) {
	if s.capture == nil || id >= uint32(len(s.capture.files)) {
		return nil, fmt.Errorf("file %d: %w", id, abi.ENOENT)
	}
	return &s.capture.files[id], nil
}

// Upload submits files to be stored.
func (s *session) Upload(reqs []abi.Upload) (int, error) {
	if err := s.allow("upload", abi.PhaseSnapshot); err != nil {
		return 0, err
	}
	for i, r := range reqs {
		f, err := s.file(r.File)
		if err != nil {
			return i, err
		}
		if err := checkUpload(f, r); err != nil {
			return i, err
		}
		if !s.transfers.submit(s.upload(r, f)) {
			return i, nil
		}
	}
	return len(reqs), nil
}

// checkUpload allows sharing only what a later snapshot can recognise.
func checkUpload(f *capturedFile, r abi.Upload) error {
	const shareable = abi.FileImmutable | abi.FileIdentified
	switch {
	case r.Scope > abi.ScopeShared || r.Flags != 0:
		return fmt.Errorf("%s: scope %d, flags %#x: %w", f.entry.Name, r.Scope, r.Flags, abi.EINVAL)
	case r.Scope == abi.ScopeShared && f.record.Flags&shareable != shareable:
		return fmt.Errorf("%s cannot be shared: it is mutable or has no identity: %w", f.entry.Name, abi.EINVAL)
	}
	return nil
}

func (s *session) upload(r abi.Upload, f *capturedFile) *request {
	return &request{
		completion: abi.Completion{User: r.User, Op: abi.OpUpload},
		failed:     s.ledger.fail,
		tasks: []task{func(ctx context.Context, c *abi.Completion) error {
			if err := s.ledger.begin(r.File, f.entry.Name); err != nil {
				return err
			}
			entry := f.entry
			entry.Scope = r.Scope
			err := s.storeFile(ctx, &entry)
			s.ledger.end(r.File, entry, err)
			c.Bytes = uint64(entry.Size)
			return err
		}},
	}
}

// storeFile stores a file of the checkpoint and fills in object and digests.
func (s *session) storeFile(ctx context.Context, entry *catalog.File) error {
	if s.dry {
		return nil
	}
	file, err := os.Open(filepath.Join(s.capture.dir, entry.Name))
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	defer file.Close()
	want := entry.Size
	if err := s.store(ctx, entry, file); err != nil {
		return fmt.Errorf("upload %s: %w", entry.Name, err)
	}
	if entry.Size != want {
		return fmt.Errorf("upload %s: read %d bytes of %d: %w", entry.Name, entry.Size, want, abi.ECORRUPT)
	}
	return checkRot(entry)
}

// store creates an object from what r yields and fills in its name, size and
// digests. The bytes are read once.
func (s *session) store(ctx context.Context, entry *catalog.File, r io.Reader) error {
	m := newMeter(r, s.ledger.moved)
	entry.Object = s.ledger.mint(s.id)
	err := s.host.store.Create(ctx, entry.Object, m)
	if errors.Is(err, blob.ErrUnknownOutcome) {
		err = s.resolve(ctx, entry.Object, m.size)
	}
	entry.Size, entry.Digest, entry.CRC32C = m.size, m.digest(), m.crc
	return err
}

// resolve finds out what became of a create whose answer was lost. Names are
// never used twice, so an object of that name and size is ours and whole.
func (s *session) resolve(ctx context.Context, object string, size int64) error {
	info, err := s.host.store.Stat(ctx, object)
	if err != nil {
		return err
	}
	if info.Size != size {
		return fmt.Errorf("object %s has %d bytes instead of %d: %w", object, info.Size, size, abi.EIO)
	}
	return nil
}

// checkRot compares what was read with the checksum that RocksDB wrote down when
// it made the table, where the database keeps them.
func checkRot(entry *catalog.File) error {
	parts := strings.Split(entry.Identity, ":")
	if entry.Kind != abi.KindTable || len(parts) < 5 {
		return nil
	}
	// RocksDB keeps the checksum as big-endian bytes.
	read := binary.BigEndian.AppendUint32(nil, entry.CRC32C)
	if want := parts[4]; fmt.Sprintf("%x", read) != want {
		return fmt.Errorf("%s is damaged on the database's own disk: checksum %x, RocksDB recorded %s: %w", entry.Name, read, want, abi.ECORRUPT)
	}
	return nil
}

// Reuse submits files to be taken over from the base.
func (s *session) Reuse(reqs []abi.Reuse) (int, error) {
	if err := s.allow("reuse", abi.PhaseSnapshot); err != nil {
		return 0, err
	}
	for i, r := range reqs {
		f, err := s.file(r.File)
		if err != nil {
			return i, err
		}
		if r.Flags != 0 {
			return i, fmt.Errorf("%s: flags %#x: %w", f.entry.Name, r.Flags, abi.EINVAL)
		}
		if f.record.Flags&abi.FileInBase == 0 {
			return i, fmt.Errorf("%s is not in the base: %w", f.entry.Name, abi.ECONFLICT)
		}
		if !s.transfers.submit(s.reuse(r, f)) {
			return i, nil
		}
	}
	return len(reqs), nil
}

func (s *session) reuse(r abi.Reuse, f *capturedFile) *request {
	return &request{
		completion: abi.Completion{User: r.User, Op: abi.OpReuse},
		failed:     s.ledger.note,
		tasks: []task{func(ctx context.Context, c *abi.Completion) error {
			if err := s.ledger.begin(r.File, f.entry.Name); err != nil {
				s.ledger.fail(err)
				return err
			}
			entry, err := s.takeOver(ctx, f)
			s.ledger.end(r.File, entry, err)
			c.Bytes = uint64(entry.Size)
			return err
		}},
	}
}

// takeOver refers to the base's object for a file, having seen that it is there.
func (s *session) takeOver(ctx context.Context, f *capturedFile) (catalog.File, error) {
	base, entry := s.shared[f.entry.Identity], f.entry
	info, err := s.host.store.Stat(ctx, base.Object)
	if errors.Is(err, fs.ErrNotExist) {
		return entry, fmt.Errorf("reuse %s: object %s is gone: %w", f.entry.Name, base.Object, abi.ENOENT)
	}
	if err != nil {
		return entry, fmt.Errorf("reuse %s: %w", f.entry.Name, err)
	}
	if info.Size != base.Size {
		return entry, fmt.Errorf("reuse %s: object %s is damaged: %w", f.entry.Name, base.Object, abi.ENOENT)
	}
	entry.Scope, entry.Reused = abi.ScopeShared, true
	entry.Object, entry.Digest, entry.CRC32C = base.Object, base.Digest, base.CRC32C
	return entry, nil
}

// Fetch belongs to a restore.
func (s *session) Fetch([]abi.Fetch) (int, error) {
	return 0, fmt.Errorf("fetch in %s: %w", s.phase, abi.EPHASE)
}

// Wait waits for submitted requests.
func (s *session) Wait(dst []abi.Completion) (int, error) {
	if err := s.allow("wait", abi.PhaseSnapshot); err != nil {
		return 0, err
	}
	return s.transfers.wait(dst)
}
