package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/pagecache"
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
		if !s.accept(r, f) {
			return i, nil
		}
	}
	return len(reqs), nil
}

// accept takes an upload on, unless there is no room for it now.
func (s *session) accept(r abi.Upload, f *capturedFile) bool {
	if s.isSmall(f) {
		return s.bundle(r, f)
	}
	return s.transfers.submit(s.upload(r, f))
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
			entry := s.entryOf(r, f)
			err := s.storeFile(ctx, &entry)
			s.ledger.end(r.File, entry, err)
			c.Bytes = uint64(entry.Size)
			return err
		}},
	}
}

// entryOf is the entry of a file that is to be uploaded.
func (s *session) entryOf(r abi.Upload, f *capturedFile) catalog.File {
	entry := f.entry
	entry.Scope = r.Scope
	if s.savepoint {
		entry.Scope = abi.ScopePrivate
	}
	return entry
}

// storeFile stores a file of the checkpoint and fills in object and digests. What
// a session that was killed has stored of it is not stored again.
func (s *session) storeFile(ctx context.Context, entry *catalog.File) error {
	if s.dry {
		return nil
	}
	if s.links(entry.Kind) {
		return s.linkFile(ctx, entry)
	}
	left := s.claim(entry)
	if s.resume(ctx, entry, left) {
		return s.note(ctx, entry)
	}
	if left.Object != "" && !left.Whole() {
		err := s.sendFile(ctx, entry, left.Object)
		if !errors.Is(err, fs.ErrExist) { // then it was whole, but nobody knows what it holds
			return err
		}
	}
	return s.sendFile(ctx, entry, s.run.Mint())
}

// claim returns what a session that was killed has stored of a file, or begun to,
// if it can be used.
func (s *session) claim(entry *catalog.File) catalog.Stored {
	left, ok := s.run.Claim(entry.Identity)
	if !ok || left.Size != entry.Size || left.Keys != s.host.keys.id() {
		return catalog.Stored{}
	}
	return left
}

// resume refers to what an earlier session has stored of a file, if it is all there.
func (s *session) resume(ctx context.Context, entry *catalog.File, left catalog.Stored) bool {
	if !left.Whole() || !s.inspections.isThere(ctx, s.host.Repository, left) {
		return false
	}
	refer(entry, left)
	s.ledger.resumed(entry.Size)
	return true
}

// sendFile stores a file under a name.
func (s *session) sendFile(ctx context.Context, entry *catalog.File, object string) error {
	file, err := pagecache.Open(filepath.Join(s.capture.dir, entry.Name))
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	defer file.Close()
	if err := s.noteBegun(ctx, entry, object); err != nil {
		return err
	}
	want := entry.Size
	crc, err := s.clone(ctx, entry, object, file)
	if errors.Is(err, errors.ErrUnsupported) {
		crc, err = s.store(ctx, entry, object, file)
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", entry.Name, err)
	}
	if err := proveRead(entry, want, crc); err != nil {
		return err
	}
	return s.note(ctx, entry)
}

// proveRead demands that a file was as long as it was to be, and that its checksum
// is the one that RocksDB knows.
func proveRead(entry *catalog.File, want int64, crc uint32) error {
	if entry.Size != want {
		return fmt.Errorf("upload %s: read %d bytes of %d: %w", entry.Name, entry.Size, want, abi.ECORRUPT)
	}
	return checkRot(entry, crc)
}

// noteBegun notes a file before it is sent, and not only afterwards, where the store
// may be able to go on in the middle of it.
func (s *session) noteBegun(ctx context.Context, entry *catalog.File, object string) error {
	if entry.Identity == "" || !blob.Resumes(s.host.store, entry.Size) {
		return nil
	}
	return s.run.Note(ctx, catalog.Stored{Key: entry.Identity, Object: object, Size: entry.Size, Keys: s.host.keys.id()})
}

// note writes down that files are stored, for a later session should this one be
// killed. A file without an identity would not be recognised.
func (s *session) note(ctx context.Context, entries ...*catalog.File) error {
	var list []catalog.Stored
	for _, e := range entries {
		if e.Identity != "" {
			list = append(list, storedAs(e.Identity, e, s.host.keys.id()))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return s.run.Note(ctx, list...)
}

// cloneFrom is the least size, in bytes, of a file that is cloned: a smaller one is
// written in less time than it takes to ask.
const cloneFrom = 1 << 20

// clone makes an object of a file that never changes without moving its bytes, where
// the file system of the repository can. They are read all the same, for the digests.
func (s *session) clone(ctx context.Context, entry *catalog.File, object string, file *pagecache.File) (crc uint32, err error) {
	immutable := entry.Kind == abi.KindTable || entry.Kind == abi.KindBlob
	if s.host.keys.recipients != nil || !immutable || entry.Size < cloneFrom {
		return 0, errors.ErrUnsupported
	}
	if err := blob.Clone(ctx, s.host.store, object, filepath.Join(s.capture.dir, entry.Name)); err != nil {
		return 0, err
	}
	return s.prove(ctx, entry, object, file)
}

// prove fills in what store fills in, of a file that becomes an object without its
// bytes passing through here.
func (s *session) prove(ctx context.Context, entry *catalog.File, object string, file *pagecache.File) (crc uint32, err error) {
	read := newMeter(file, s.ledger.moved)
	err = drain(&interruptible{ctx, read})
	entry.Object, entry.Segment = object, nil
	s.describe(entry, &outgoing{read, read})
	return read.crc, err
}

// store creates an object from what r yields and fills in its name, sizes and
// digests, which are those of the stored bytes. The bytes are read once. It
// returns the checksum of what r has yielded.
func (s *session) store(ctx context.Context, entry *catalog.File, object string, r io.Reader) (crc uint32, err error) {
	o, err := s.send(r)
	if err != nil {
		return 0, err
	}
	err = s.host.create(ctx, object, o.stored)
	entry.Object, entry.Segment = object, nil
	s.describe(entry, o)
	return o.plain.crc, err
}

// outgoing is a file on its way into the store.
type outgoing struct {
	plain  *meter // what is read
	stored *meter // what is stored; the same unless that is encrypted
}

func (s *session) send(r io.Reader) (*outgoing, error) {
	plain := newMeter(r, s.ledger.moved)
	if s.host.keys.recipients == nil {
		return &outgoing{plain, plain}, nil
	}
	if s.capture == nil || s.savepoint || s.generation.cfg.Local.Keep == 0 {
		plain.hash = nil // nobody wants it
	}
	encrypted, err := s.host.keys.encrypt(plain)
	if err != nil {
		return nil, err
	}
	return &outgoing{plain, newMeter(encrypted, nil)}, nil
}

// describe fills in the sizes and digests of a file that was read to its end. Its
// place must be known.
func (s *session) describe(entry *catalog.File, o *outgoing) {
	entry.Size, entry.Stored = o.plain.size, 0
	if o.stored != o.plain {
		entry.Stored = o.stored.size
	}
	if o.stored != o.plain && o.plain.hash != nil {
		s.digests.add(entry, o.plain.digest())
	}
	entry.Digest, entry.CRC32C = o.stored.digest(), o.stored.crc
}

// checkRot compares the checksum of what was read with the one that RocksDB wrote
// down when it made the table, where the database keeps them.
func checkRot(entry *catalog.File, crc uint32) error {
	parts := strings.Split(entry.Identity, ":")
	if entry.Kind != abi.KindTable || len(parts) < 5 {
		return nil
	}
	// RocksDB keeps the checksum as big-endian bytes.
	read := binary.BigEndian.AppendUint32(nil, crc)
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
	s.listing.Do(s.listBase)
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
// One that is missing is stored anew under its own name, which heals every
// snapshot that refers to it. One that is damaged is left as it is, because a
// writer that may be stale must delete nothing, and the strategy uploads the file.
// So it does where a pack is missing: one file does not make a pack.
func (s *session) takeOver(ctx context.Context, f *capturedFile) (catalog.File, error) {
	base, entry := s.shared[f.entry.Identity], f.entry
	what, err := s.inspections.of(ctx, s.host.Repository, base)
	if err != nil {
		return entry, fmt.Errorf("reuse %s: %w", f.entry.Name, err)
	}
	if what == isMissing && base.Segment == nil && !s.dry {
		if err = s.host.replace(ctx, base, filepath.Join(s.capture.dir, entry.Name)); err == nil {
			s.host.log.Warn("stored a missing object again", "object", base.Object, "file", entry.Name)
			what = ""
		}
	}
	if what != "" {
		s.host.log.Warn("cannot reuse an object", "object", base.Object, "file", entry.Name, "problem", what, "error", err)
		return entry, fmt.Errorf("reuse %s: object %s %s: %w", f.entry.Name, base.Object, what, abi.ENOENT)
	}
	entry.Scope, entry.Reused, entry.Linked, entry.Cause = abi.ScopeShared, true, base.Linked, ""
	refer(&entry, storedAs("", base, ""))
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
	if s.transfers.onlyHeld() {
		s.dispatchAll()
	}
	return s.transfers.wait(dst)
}
