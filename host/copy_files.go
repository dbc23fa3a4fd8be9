package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// passage is one snapshot on its way into another repository.
type passage struct {
	*copying
	id, lineage string
	asIs        bool // stored bytes go over unchanged

	mu    sync.Mutex // guards base, small and the sums of the result
	base  stocked    // the newest snapshot that something was reused of
	small []*carried // what goes into packs
}

// run carries the files over and publishes the manifest.
func (p *passage) run(ctx context.Context, m *Manifest) error {
	if !p.asIs {
		if err := p.from.keys.reveal(m); err != nil {
			return err
		}
	}
	var bytes int64
	for i := range m.Contents {
		bytes += p.bytes(&m.Contents[i])
	}
	p.tally.expect(bytes - m.BytesFull)
	err := p.from.eachRun(ctx, filesOf(m), p.to.workers, p.carry)
	if err == nil {
		err = p.carrySmall(ctx)
	}
	if err != nil {
		return err
	}
	return p.publish(ctx, m)
}

// bytes returns how many bytes pass when a file is sent.
func (p *passage) bytes(f *File) int64 {
	if p.asIs {
		return f.StoredSize()
	}
	return f.Size
}

// carry makes a file of the source one of the destination, unless it is to go into a
// pack with others.
func (p *passage) carry(ctx context.Context, source *Repository, f *File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from := *f
	f.Reused, f.Segment, f.Linked = false, nil, false
	if p.reuse(ctx, f) {
		p.tally.reuse(p.bytes(&from))
		return nil
	}
	left := p.claim(&from, f)
	switch {
	case left.Whole() && p.inspections.isThere(ctx, p.to, left):
		refer(f, left)
		p.tally.resume(p.bytes(&from))
		p.count(&p.result.Resumed, f.Size, 0)
	case p.isSmall(f):
		p.put(&carried{from, f})
		return nil
	case p.dry:
		p.count(&p.result.Bytes, p.bytes(&from), 1)
		p.tally.add(p.bytes(&from), 1)
		return nil
	default:
		if err := p.store(ctx, source, &from, f, left); err != nil {
			return err
		}
	}
	return p.session.Note(ctx, p.record(&from, f))
}

// claim returns what a copy has left of a file that was broken off.
func (p *passage) claim(from, f *File) catalog.Stored {
	if p.dry {
		return catalog.Stored{}
	}
	left, _ := p.session.Claim(p.record(from, f).Key)
	if left.Size != from.Size || left.Keys != p.to.keys.id() {
		return catalog.Stored{}
	}
	return left
}

// count adds to a sum of the result.
func (p *passage) count(sum *int64, bytes int64, objects int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*sum += bytes
	p.result.Objects += objects
}

// reuse refers to an object that the destination has for a shared file.
func (p *passage) reuse(ctx context.Context, f *File) bool {
	held, ok := p.stock.find(stockKey(f, p.lineage, p.asIs))
	if !ok || f.Scope != abi.ScopeShared || held.Size != f.Size || !p.dry && !p.inspections.isThere(ctx, p.to, held.Stored) {
		return false
	}
	refer(f, held.Stored)
	f.Reused = true
	p.count(&p.result.Reused, f.Size, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if held.slot >= p.base.slot {
		p.base = held
	}
	return true
}

// store has an object for a file: one that a copy has begun which was broken off,
// or a new one.
func (p *passage) store(ctx context.Context, source *Repository, from, f *File, left catalog.Stored) error {
	if left.Object != "" && !left.Whole() {
		err := p.send(ctx, source, from, f, left.Object)
		if !errors.Is(err, fs.ErrExist) { // then it was whole, but nobody knows what it holds
			return err
		}
	}
	return p.send(ctx, source, from, f, p.session.Mint())
}

// record is what is noted of a file that is stored. What the source stores for it
// identifies what it holds; what only one snapshot may refer to is noted for that
// one.
func (p *passage) record(from, f *File) catalog.Stored {
	key := "digest:" + from.Digest
	if from.Scope == abi.ScopePrivate {
		key += ":" + p.id
	}
	return storedAs(key, f, p.to.keys.id())
}

// send stores a file under a name. Nothing is stored unless the source's object is
// as its manifest says.
func (p *passage) send(ctx context.Context, source *Repository, from, f *File, object string) error {
	if blob.Resumes(p.to.store, from.Size) {
		begun := catalog.Stored{Key: p.record(from, f).Key, Object: object, Size: from.Size, Keys: p.to.keys.id()}
		if err := p.session.Note(ctx, begun); err != nil {
			return err
		}
	}
	body, err := p.open(ctx, source, from)
	if err != nil {
		return err
	}
	defer body.Close()
	stored, err := p.outgoing(body)
	if err != nil {
		return err
	}
	if err := p.to.create(ctx, object, stored); err != nil {
		return fmt.Errorf("copy %s: %w", from.Name, err)
	}
	f.Object = object
	describeCopy(f, stored)
	p.count(&p.result.Bytes, stored.size, 1)
	p.tally.file()
	return nil
}

// outgoing is what is stored in the destination of what is read from the source.
func (p *passage) outgoing(body io.Reader) (stored *meter, err error) {
	stored = newMeter(body, nil)
	if !p.asIs {
		stored.from, err = p.to.keys.encrypt(body)
	}
	return stored, err
}

// describeCopy fills in size and digests of what was stored. The place is known.
func describeCopy(f *File, stored *meter) {
	refer(f, catalog.Stored{Object: f.Object, Size: f.Size, Stored: stored.size, Digest: stored.digest(), CRC32C: stored.crc, Segment: f.Segment})
}

func (p *passage) open(ctx context.Context, source *Repository, f *File) (io.ReadCloser, error) {
	if p.asIs {
		return source.openStored(ctx, f, p.tally.bytes)
	}
	return source.open(ctx, f, p.tally)
}

// publish commits the manifest, whose files are the destination's by now. Once that
// has begun it is not cancelled: a commit whose outcome is unknown would help nobody.
func (p *passage) publish(ctx context.Context, m *Manifest) error {
	m.Linked = false
	m.Database, m.Copied, m.Base, m.Slot, m.Epoch, m.Parent = p.to.name, true, p.base.snapshot, 0, 0, ""
	m.Known, m.Deaf = nil, false // slots are others here
	m.Group = ""                 // a copy counts by itself
	m.SumUp()
	m, err := p.conceal(m)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && !p.dry {
		err = p.commit(context.WithoutCancel(ctx), m)
	}
	if err != nil {
		return err
	}
	p.stock.add(m)
	p.result.Snapshots = append(p.result.Snapshots, m.Summary)
	return nil
}

// conceal encrypts for the destination what publish was given in plain.
func (p *passage) conceal(m *Manifest) (*Manifest, error) {
	if p.asIs {
		return m, nil
	}
	m.Keys = ""
	return p.to.keys.conceal(m)
}

func (p *passage) commit(ctx context.Context, m *Manifest) error {
	if err := p.module(ctx, m.Strategy.Module); err != nil {
		return err
	}
	if err := p.session.Commit(ctx, m); err != nil {
		return fenced(err)
	}
	p.to.log.Info("copied snapshot", "snapshot", m.ID, "slot", m.Slot, "bytes_new", m.BytesNew, "bytes_reused", m.BytesReused)
	return nil
}

// module copies the module that took a snapshot. It tells where the snapshot comes
// from; where it is missing, the data is worth copying all the same.
func (p *passage) module(ctx context.Context, digest string) error {
	if digest == "" || p.modules[digest] {
		return nil
	}
	_, err := p.to.store.Stat(ctx, catalog.ModuleName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		var code []byte
		if code, err = p.from.catalog.Module(ctx, digest); err == nil {
			err = p.to.catalog.PutModule(ctx, digest, code)
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, catalog.ErrDamaged) {
		p.from.log.Warn("the module of a snapshot was not copied", "snapshot", p.id, "error", err)
		err = nil
	}
	p.modules[digest] = err == nil
	return err
}

// expect changes the total by what turned out to be different.
func (t *tally) expect(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done.BytesTotal += bytes
}

// reuse counts a file that need not be moved.
func (t *tally) reuse(bytes int64) {
	t.mu.Lock()
	t.done.BytesReused += bytes
	t.mu.Unlock()
	t.add(bytes, 1)
}
