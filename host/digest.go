package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/expiry"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Content is the content digest of a database: equal for equal live records,
// whatever files hold them.
type Content struct {
	Digest   string
	Records  uint64
	Bytes    uint64                   // of keys and values
	Families map[string]canonical.Sum // by column family
}

// DigestDatabase computes the content digest of a database that no process has
// open, and changes nothing in it. Records that have expired are no content: a TTL
// is known of a database that was restored, or opened with RocksDB's own.
func DigestDatabase(ctx context.Context, path string, workers int, report func(Progress), options ...Option) (*Content, error) {
	known, err := declaredTTLs(path)
	if err != nil {
		return nil, databaseProblem(path, err)
	}
	s := newSettings(append(options, WithProgress(report)))
	return digestOffline(ctx, path, known.rules(), workers, s)
}

// DigestConfigured is DigestDatabase for the database of a configuration, with the
// TTLs that this gives.
func DigestConfigured(ctx context.Context, cfg *config.Config, options ...Option) (*Content, error) {
	rules := rulesOf(cfg)
	if err := checkTTL(cfg.Database.Path, rules); err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	return digestOffline(ctx, cfg.Database.Path, rules, cfg.Repository.Transfer.Workers, newSettings(options))
}

// digestOffline digests a database at rest, but for what has expired by a rule.
func digestOffline(ctx context.Context, path string, rules expiry.Rules, workers int, s settings) (*Content, error) {
	db, err := rocks.OpenOffline(path)
	if err != nil {
		return nil, databaseProblem(path, err)
	}
	content, err := digestOf(ctx, db, look{rules: rules, now: s.clock()}, workers, s.report)
	return content, errors.Join(err, db.Close())
}

// DigestEngine computes the content digest of a database of any of the [Engines]
// that no process has open, and changes nothing in it.
func DigestEngine(ctx context.Context, engine, path string, workers int, report func(Progress)) (*Content, error) {
	kind, err := kindOf(engine)
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	if kind.Name() == RocksDB { // several ranges at the same time
		return DigestDatabase(ctx, path, workers, report)
	}
	sums, tally := make(map[string]canonical.Sum), newTally("digest", 0, 0, report)
	err = kind.Read(ctx, path, func(family string, packed []byte) error {
		sum := sums[family]
		err := sum.AddBlock(packed)
		sums[family] = sum
		tally.bytes(len(packed))
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem(CodeFailed, fmt.Errorf("digest: no database of %s at %s", kind.Name(), path), "name its directory, and its engine")
	case errors.Is(err, abi.ECORRUPT):
		return nil, problem(CodeDamaged, fmt.Errorf("digest: %w", err), "restore the snapshot again")
	case err != nil:
		return nil, fmt.Errorf("digest: %w", err)
	}
	return newContent(sums), nil
}

// Digest computes the content digest of the host's database at this instant.
func (h *Host) Digest(ctx context.Context) (*Content, error) {
	return digestOf(ctx, h.db, look{rules: h.rules, now: h.clock()}, h.workers, h.report)
}

func digestOf(ctx context.Context, db database, l look, workers int, report func(Progress)) (*Content, error) {
	view, err := db.View()
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	defer view.Close()
	view.Hide(l.rules, l.now)
	var estimate uint64
	for _, f := range view.Families() {
		estimate += f.Bytes
	}
	d := &digester{view: view, look: l, sums: make(map[string]canonical.Sum), tally: newTally("digest", int64(estimate), 0, report)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, f := range view.Families() {
		var lower []byte
		for _, cut := range append(view.Split(f.ID, workers), nil) {
			from := lower
			g.Go(func() error { return d.add(ctx, f, from, cut) })
			lower = cut
		}
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	return newContent(d.sums), nil
}

// look says how a database is read for its digest.
type look struct {
	rules expiry.Rules // what has expired by them is passed over
	now   time.Time
	at    func(family string, block []byte) // sees all records, from several goroutines; may be nil
}

// digester sums up ranges in parallel.
type digester struct {
	view  *rocks.View
	look  look
	tally *tally
	mu    sync.Mutex
	sums  map[string]canonical.Sum
}

func (d *digester) add(ctx context.Context, f rocks.Family, lower, upper []byte) error {
	scan, err := d.view.Scan(f.ID, lower, upper)
	if err != nil {
		return err
	}
	defer scan.Close()
	var sum canonical.Sum
	for block, err := range blocks(ctx, scan) {
		if err != nil {
			return err
		}
		if err := sum.AddBlock(block); err != nil {
			return err
		}
		if d.look.at != nil {
			d.look.at(f.Name, block)
		}
		d.tally.bytes(len(block))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sums[f.Name] = d.sums[f.Name].Merge(sum)
	return nil
}

func newContent(sums map[string]canonical.Sum) *Content {
	c := &Content{Digest: canonical.Database(sums), Families: sums}
	for _, s := range sums {
		c.Records += s.Records
		c.Bytes += s.Bytes
	}
	return c
}

// DigestSnapshot computes the content digest of a snapshot: from the records of a
// canonical one, and by restoring a native one into a temporary folder. What has
// expired by now is no content, whenever the snapshot was taken.
func (r *Repository) DigestSnapshot(ctx context.Context, ref string) (*Content, error) {
	m, err := r.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	release, err := r.hold(ctx, m, "read for its digest")
	if err != nil {
		return nil, err
	}
	defer release()
	if err := r.keys.reveal(m); err != nil {
		return nil, err
	}
	rules, now := ttlsOf(m.Families).rules(), r.clock()
	if m.Kind == catalog.KindNative {
		return r.drill(ctx, m, look{rules: rules, now: now})
	}
	sums := make(map[string]canonical.Sum)
	for i := range m.Contents {
		f := &m.Contents[i]
		if f.Kind != abi.KindCanonical {
			continue
		}
		rule, expires := rules[f.Family]
		sum, err := r.digestFile(ctx, f, func(block []byte) ([]byte, error) {
			if expires {
				block, _, err = rule.Live(block, now)
			}
			return block, err
		})
		if err != nil {
			return nil, err
		}
		sums[f.Family] = sums[f.Family].Merge(sum)
	}
	return newContent(sums), nil
}

// digestFile reads a canonical file to its end, which proves its totals, and sums
// up what live leaves of it.
func (r *Repository) digestFile(ctx context.Context, f *File, live func(block []byte) ([]byte, error)) (canonical.Sum, error) {
	var sum canonical.Sum
	body, err := r.open(ctx, f, newTally("digest", f.Size, 1, r.report))
	if err != nil {
		return sum, err
	}
	defer body.Close()
	reader, err := canonical.NewStreamReader(body)
	if err != nil {
		return sum, unreadable(f, err)
	}
	for block, err := range reader.Blocks() {
		if err != nil {
			return sum, unreadable(f, err)
		}
		if block, err = live(block); err == nil {
			err = sum.AddBlock(block)
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// drill restores a snapshot only to prove that it works: RocksDB opens it, and
// every block is read and checked.
func (r *Repository) drill(ctx context.Context, m *Manifest, l look) (*Content, error) {
	folder, err := newScratch(drillPrefix)
	if err != nil {
		return nil, fmt.Errorf("drill: %w", err)
	}
	defer folder.remove()
	restored, err := r.restoreWhole(ctx, m, folder.target("db"))
	if err != nil {
		return nil, err
	}
	db, err := rocks.OpenOffline(restored.Target)
	if err != nil {
		return nil, databaseProblem(restored.Target, err)
	}
	content, err := digestOf(ctx, db, l, r.workers, r.report)
	return content, errors.Join(err, db.Close())
}
