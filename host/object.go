package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/secret"
)

// create stores an object, and finds out what became of it when no answer came
// back. What is there under the name is ours if it is what was sent: another
// process may have gone on with a name that a session left which was killed.
func (r *Repository) create(ctx context.Context, object string, body *meter) error {
	err := r.store.Create(ctx, object, body)
	if !errors.Is(err, blob.ErrUnknownOutcome) {
		return err
	}
	there, err := r.store.Open(ctx, object, 0, -1)
	if err != nil {
		return err
	}
	defer there.Close()
	found := &meter{from: there}
	if err := drain(found); err != nil {
		return err
	}
	if found.size != body.size || found.crc != body.crc {
		return fmt.Errorf("object %s has %d bytes with checksum %08x instead of %d with %08x: %w", object, found.size, found.crc, body.size, body.crc, abi.EIO)
	}
	return nil
}

// isMissing is what inspect says of an object that is not there.
const isMissing = "is missing"

// inspect says what is wrong with the object of a file, as far as the store can
// tell without handing it out, or "".
func (r *Repository) inspect(ctx context.Context, f *File) (what string, err error) {
	info, err := r.store.Stat(ctx, f.Object)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return isMissing, nil
	case err != nil:
		return "", err
	case info.Size != f.ObjectSize():
		return wrongSize(f, info.Size), nil
	case info.CRC32C != nil && *info.CRC32C != f.ObjectCRC32C():
		return fmt.Sprintf("has checksum %08x by the store's account instead of %08x", *info.CRC32C, f.ObjectCRC32C()), nil
	}
	return "", nil
}

// wrongSize says what is wrong with an object that has a size, or "".
func wrongSize(f *File, size int64) string {
	if size == f.ObjectSize() {
		return ""
	}
	return fmt.Sprintf("has %d bytes instead of %d", size, f.ObjectSize())
}

// inspections remembers what is wrong with packs, so that the store is not asked
// once for each file in one.
type inspections struct {
	lists lists // set before the first of them
	mu    sync.Mutex
	packs map[string]func() (what string, err error) // by object
}

// of is inspect, which for a pack also says whether a repair has found it damaged.
func (i *inspections) of(ctx context.Context, r *Repository, f *File) (what string, err error) {
	if f.Segment == nil {
		if what, listed, err := i.lists.inspect(f); listed {
			return what, err
		}
		return r.inspect(ctx, f)
	}
	return i.ofPack(f.Object, func() (string, error) {
		what, err := r.inspect(ctx, f)
		if what != "" || err != nil {
			return what, err
		}
		return r.isAside(ctx, f.Object)
	})()
}

func (i *inspections) ofPack(object string, inspect func() (string, error)) func() (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.packs == nil {
		i.packs = make(map[string]func() (string, error))
	}
	if i.packs[object] == nil {
		i.packs[object] = sync.OnceValues(inspect)
	}
	return i.packs[object]
}

// isThere says whether what an earlier session has left is whole.
func (i *inspections) isThere(ctx context.Context, r *Repository, left catalog.Stored) bool {
	var f File
	f.Size = left.Size
	refer(&f, left)
	what, err := i.of(ctx, r, &f)
	return what == "" && err == nil
}

// refer gives a file the place and the digests of one that is stored.
func refer(f *File, s catalog.Stored) {
	f.Object, f.Stored, f.Digest, f.CRC32C, f.Segment = s.Object, 0, s.Digest, s.CRC32C, s.Segment
	if s.Stored != s.Size {
		f.Stored = s.Stored
	}
}

// storedAs is the reverse of refer. keys names the recipients that the file is
// encrypted for.
func storedAs(key string, f *File, keys string) catalog.Stored {
	return catalog.Stored{
		Key: key, Object: f.Object, Size: f.Size, Stored: f.StoredSize(), Digest: f.Digest, CRC32C: f.CRC32C, Keys: keys,
		Segment: f.Segment,
	}
}

// replace stores the object of a file again from a copy of the file. Nothing is
// stored unless the copy has the digest that the object had.
func (r *Repository) replace(ctx context.Context, f *File, path string) error {
	if f.Stored > 0 {
		return errEncrypted
	}
	local, err := openSame(f, path)
	if err != nil {
		return err
	}
	defer local.Close()
	return r.create(ctx, f.Object, &meter{from: local})
}

// errEncrypted reports that an object cannot be made again: the same bytes are
// never encrypted twice to the same.
var errEncrypted = errors.New("it is encrypted, and only a new snapshot can store the file anew")

// openSame opens a copy of a file that was stored as it is. Reading it fails at
// its end, with [abi.ECONFLICT], unless it is what the object held.
func openSame(f *File, path string) (io.ReadCloser, error) {
	local, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &sameBytes{local, newProof(local, nil), f}, nil
}

type sameBytes struct {
	io.Closer
	*meter
	file *File
}

func (s *sameBytes) Read(p []byte) (int, error) {
	n, err := s.meter.Read(p)
	if err == io.EOF && (s.size != s.file.Size || s.digest() != s.file.Digest) {
		err = fmt.Errorf("the file at hand is another than the one that was stored: %w", abi.ECONFLICT)
	}
	return n, err
}

// source is where an object can be had again. Reading it to its end proves it: it
// fails with [abi.ECORRUPT] or [abi.ECONFLICT] unless it is what the object held.
type source struct {
	name string // for people to read
	open func() (io.ReadCloser, error)
}

func (s source) prove() error {
	body, err := s.open()
	if err != nil {
		return err
	}
	defer body.Close()
	return drain(body)
}

// heal stores an object again that is missing or damaged. What there is of it goes
// only once the source is proven.
func (r *Repository) heal(ctx context.Context, object string, from source) error {
	if err := from.prove(); err != nil {
		return err
	}
	if err := r.store.Delete(ctx, object); err != nil {
		return err
	}
	body, err := from.open()
	if err != nil {
		return err
	}
	defer body.Close()
	return r.create(ctx, object, &meter{from: body})
}

// asideName is where a repair keeps an object that it has found damaged. No snapshot
// reuses a pack of which there is such a copy.
func asideName(object string) string { return "damaged/" + path.Base(object) }

// isAside says whether a repair has found a pack damaged and could not heal it.
func (r *Repository) isAside(ctx context.Context, object string) (what string, err error) {
	_, err = r.store.Stat(ctx, asideName(object))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return "was found damaged by a repair", err
}

// copyAside copies a damaged object to where nobody reuses it, and returns the name
// of the copy. That of an earlier attempt, which was killed, will do.
func (r *Repository) copyAside(ctx context.Context, object string) (aside string, err error) {
	aside = asideName(object)
	body, err := r.store.Open(ctx, object, 0, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	err = r.create(ctx, aside, &meter{from: &interruptible{ctx, body}})
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return aside, err
}

// setAside moves a damaged object to where nobody reuses it, and returns its new
// name.
func (r *Repository) setAside(ctx context.Context, object string) (aside string, err error) {
	if aside, err = r.copyAside(ctx, object); err != nil {
		return "", err
	}
	return aside, r.store.Delete(ctx, object)
}

// open reads a file: the object that holds it, decrypted. The end of the stream is
// an error unless every byte is as the manifest says.
func (r *Repository) open(ctx context.Context, f *File, t *tally) (io.ReadCloser, error) {
	if f.Stored == 0 {
		return r.openStored(ctx, f, t.bytes)
	}
	stored, err := r.openStored(ctx, f, nil)
	if err != nil {
		return nil, err
	}
	plain, err := r.decrypt(f, stored)
	if err != nil {
		return nil, errors.Join(err, stored.Close())
	}
	return &plainBody{Closer: stored, stored: stored, from: plain, file: f, moved: t.bytes}, nil
}

func (r *Repository) decrypt(f *File, stored io.Reader) (io.Reader, error) {
	identities, err := r.keys.identities()
	if err != nil {
		return nil, err
	}
	plain, err := identities.Decrypt(stored)
	if errors.Is(err, secret.ErrNoKey) {
		// A damaged header looks like a wrong key, and the digest tells them apart.
		if whole := drain(stored); whole != nil {
			err = whole
		}
	}
	return plain, keyProblem("read "+f.Name, err)
}

// plainBody is what an encrypted object holds. It ends only when the object has
// been read to its end, and was found to be whole.
type plainBody struct {
	io.Closer
	stored, from io.Reader
	file         *File
	size         int64 // bytes so far
	moved        func(n int)
}

// Length returns the length of the file, in bytes.
func (b *plainBody) Length() int64 { return b.file.Size }

func (b *plainBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.size += int64(n)
	b.moved(n)
	if err == io.EOF {
		if whole := drain(b.stored); whole != nil {
			return n, whole
		}
		if b.size != b.file.Size {
			return n, damaged(b.file, fmt.Sprintf("holds %d bytes instead of %d", b.size, b.file.Size))
		}
	}
	if err != nil && err != io.EOF {
		err = keyProblem("read "+b.file.Name, err)
	}
	return n, err
}

// openStored reads the object of a file as it is stored. The end of the stream is
// an error unless every byte is as the manifest says. moved may be nil.
func (r *Repository) openStored(ctx context.Context, f *File, moved func(n int)) (io.ReadCloser, error) {
	length := int64(-1) // a whole object is read to its end, wherever that is
	if f.Segment != nil {
		length = f.StoredSize()
	}
	body, err := r.store.Open(ctx, f.Object, f.Offset(), length)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, damaged(f, isMissing)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, tooShort(f)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return &checkedBody{Closer: body, meter: newProof(&interruptible{ctx, body}, moved), file: f}, nil
}

// checkedBody fails at its end when the digest is wrong.
type checkedBody struct {
	io.Closer
	*meter
	file *File
}

// Length returns the length of what is stored of the file, in bytes.
func (b *checkedBody) Length() int64 { return b.file.StoredSize() }

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.meter.Read(p)
	switch {
	case b.size > b.file.StoredSize(), err == io.EOF && b.size < b.file.StoredSize(), errors.Is(err, io.ErrUnexpectedEOF):
		return n, tooShort(b.file)
	case err == io.EOF && b.digest() != b.file.Digest:
		return n, damaged(b.file, "has changed: its digest is wrong")
	}
	return n, err
}

// tooShort reports an object that does not reach to the end of a file in it.
func tooShort(f *File) error {
	return damaged(f, fmt.Sprintf("has not its %d bytes", f.StoredSize()))
}

// interruptible ends a copy soon after its context does.
type interruptible struct {
	ctx  context.Context
	from io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.from.Read(p)
}

// objectDamage is what is wrong with the object that holds a file.
type objectDamage struct {
	file *File
	what string // as in "is missing"
}

// Error returns a line that names the file and the object.
func (d *objectDamage) Error() string {
	return fmt.Sprintf("%s: object %s %s: %v", d.file.Name, d.file.Object, d.what, abi.ECORRUPT)
}

// Unwrap returns [abi.ECORRUPT].
func (d *objectDamage) Unwrap() error { return abi.ECORRUPT }

// damaged reports an object that is not what its manifest says.
func damaged(f *File, what string) error {
	return problem(CodeDamaged, &objectDamage{f, what}, "'rocksnap verify --level data' lists every snapshot that is affected")
}
