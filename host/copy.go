package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// CopyOptions says what is copied.
type CopyOptions struct {
	Snapshots []string // by id, an unambiguous beginning of it, or "latest"; none for all
	DryRun    bool     // store nothing, only tell
}

// Copied is what a copy did, or would do.
type Copied struct {
	Snapshots []Summary  // as they are in the destination, oldest first
	Present   []string   // ids of those that the destination had
	Failed    []Uncopied // whose data could not be had from the source
	Objects   int        // stored by this copy
	Bytes     int64      // of these objects; in a dry run, what they take before they are encrypted
	Reused    int64      // bytes of files whose objects the destination had
	Resumed   int64      // bytes of files that a copy which was broken off had stored
}

// Uncopied is a snapshot that was left out.
type Uncopied struct {
	Snapshot string // id; of a damaged entry, its name
	Err      error
}

// Copy copies snapshots into another repository, oldest first, each of which is
// there as a whole or not at all. They keep their ids, and everything else that a
// restore or the next snapshot of the same database goes by; the database has the
// name that to has for it. What the destination holds already is not sent again,
// nor is what a copy has stored that was broken off.
//
// The copy is the one writer of the destination while it runs: a host that takes
// snapshots into it is fenced, unless there is nothing to copy.
//
// Where both sides are encrypted for the same recipients, or not at all, the stored
// bytes are copied as they are, and no key is needed. Else they are decrypted with
// the source's identity and encrypted for the destination's recipients.
//
// A snapshot whose data is damaged, or that no key opens, is left out and the
// others go on. Then the error is of [CodePartial], or of the class of the first
// failure when nothing could be copied, and the result is there beside it.
func (r *Repository) Copy(ctx context.Context, to *Repository, o CopyOptions) (*Copied, error) {
	if err := to.keys.match(to.catalog.Format(), true); err != nil {
		return nil, fmt.Errorf("copy: destination: %w", err)
	}
	c := &copying{from: r, to: to, dry: o.DryRun, result: &Copied{}, modules: make(map[string]bool)}
	list, err := c.choose(ctx, o.Snapshots)
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	if len(list) == 0 {
		return c.result, c.shortfall()
	}
	return c.result, c.run(ctx, list)
}

// copying is one copy under way.
type copying struct {
	from, to *Repository
	dry      bool
	session  *catalog.Session // in the destination; nil when dry
	stock    *stock
	tally    *tally
	modules  map[string]bool // sha256 of those that were looked at
	result   *Copied

	inspections inspections // of the destination
}

// choose lists the snapshots that the destination does not have.
func (c *copying) choose(ctx context.Context, refs []string) ([]Summary, error) {
	list, err := c.chosen(ctx, refs)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool)
	for s, err := range c.to.catalog.Snapshots(ctx) {
		if err != nil && !errors.Is(err, catalog.ErrDamaged) {
			return nil, fmt.Errorf("list destination: %w", err)
		}
		there[s.ID] = true
	}
	return c.absent(list, there), nil
}

// chosen lists the snapshots of the source, oldest first.
func (c *copying) chosen(ctx context.Context, refs []string) (list []Summary, err error) {
	if len(refs) == 0 {
		for s, err := range c.from.catalog.Snapshots(ctx) {
			switch {
			case errors.Is(err, catalog.ErrDamaged):
				c.leaveOut(entryOf(err), damagedEntry(err))
			case err != nil:
				return nil, fmt.Errorf("list source: %w", err)
			default:
				list = append(list, s)
			}
		}
		return list, nil
	}
	for _, ref := range refs {
		m, err := c.from.Find(ctx, ref)
		if err != nil {
			return nil, err
		}
		list = append(list, m.Summary)
	}
	slices.SortFunc(list, func(a, b Summary) int { return cmp.Compare(a.Slot, b.Slot) })
	return slices.CompactFunc(list, func(a, b Summary) bool { return a.ID == b.ID }), nil
}

// absent returns what is not there, and enters the rest as present.
func (c *copying) absent(list []Summary, there map[string]bool) (absent []Summary) {
	for _, s := range list {
		if there[s.ID] {
			c.result.Present = append(c.result.Present, s.ID)
			continue
		}
		absent = append(absent, s)
	}
	return absent
}

// run copies snapshots. All of them are one session of the destination: what was
// there when it was announced, and what it stores, stays until it ends.
func (c *copying) run(ctx context.Context, list []Summary) (err error) {
	if !c.dry {
		if err := c.begin(ctx); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		defer func() { c.end(ctx, err) }()
	}
	if c.stock, err = c.to.takeStock(ctx); err != nil {
		return fmt.Errorf("copy: read destination: %w", err)
	}
	list = c.absent(list, c.stock.snapshots) // another copy may have come first
	var bytes int64
	files := 0
	for i := range list {
		bytes, files = bytes+list[i].BytesFull, files+list[i].Files
	}
	c.tally = newTally("copy", bytes, files, c.from.report)
	for i := range list {
		err := c.snapshot(ctx, &list[i])
		switch {
		case err == nil:
		case ofSource(err):
			c.leaveOut(list[i].ID, err)
		default:
			return fmt.Errorf("copy snapshot %s: %w", list[i].ID, err)
		}
	}
	return c.shortfall()
}

func (c *copying) begin(ctx context.Context) error {
	writer, err := c.to.catalog.Acquire(ctx, thisProcess())
	if err != nil {
		return fmt.Errorf("take over as writer: %w", err)
	}
	c.session, err = writer.Begin(ctx, uuid.Must(uuid.NewV7()).String())
	return fenced(err)
}

// end leaves the notes of the session for the next copy, unless all went well.
func (c *copying) end(ctx context.Context, err error) {
	if err := c.session.Close(context.WithoutCancel(ctx), err); err != nil {
		c.to.log.Warn("copy left something behind", "error", err)
	}
}

// snapshot copies one snapshot. It is held meanwhile, lest prune take it away.
func (c *copying) snapshot(ctx context.Context, s *Summary) error {
	if !c.dry {
		release, err := c.from.hold(ctx, &Manifest{Summary: *s}, "copy")
		if err != nil {
			return err
		}
		defer release()
	}
	m, err := c.from.catalog.Manifest(ctx, s.Slot)
	switch {
	case errors.Is(err, catalog.ErrDamaged):
		return damagedEntry(err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", catalog.ErrRemoved, err)
	case err != nil:
		return err
	}
	p := &passage{copying: c, id: m.ID, lineage: m.Lineage, asIs: m.Keys == c.to.keys.id()}
	return p.run(ctx, m)
}

// entryOf names the entry that is damaged.
func entryOf(err error) string {
	var d *catalog.DamageError
	if errors.As(err, &d) {
		return d.Object
	}
	return ""
}

func damagedEntry(err error) error {
	return problem(CodeDamaged, err, "'rocksnap verify --level catalog' shows what is affected")
}

// ofSource tells what is wrong with one snapshot of the source, which the others
// do not suffer from, from whatever keeps all of them from being copied.
func ofSource(err error) bool {
	code := CodeOf(err)
	return code == CodeDamaged || code == CodeKey || errors.Is(err, catalog.ErrRemoved)
}

func (c *copying) leaveOut(snapshot string, err error) {
	c.from.log.Warn("a snapshot was not copied", "snapshot", snapshot, "error", err)
	c.result.Failed = append(c.result.Failed, Uncopied{Snapshot: snapshot, Err: err})
}

// shortfall is the error for what was left out.
func (c *copying) shortfall() error {
	if len(c.result.Failed) == 0 {
		return nil
	}
	var errs []error
	for _, f := range c.result.Failed {
		errs = append(errs, fmt.Errorf("snapshot %s: %w", f.Snapshot, f.Err))
	}
	code, first := CodePartial, c.result.Failed[0].Err
	if len(c.result.Snapshots)+len(c.result.Present) == 0 {
		code = CodeOf(first)
	}
	return problem(code, fmt.Errorf("copy: %w", errors.Join(errs...)), HintOf(first))
}
