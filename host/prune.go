package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// Pin keeps a snapshot from prune; see [Repository.Pin].
type Pin = catalog.Pin

// Verdict is what retention says of a snapshot, with its reasons.
type Verdict = catalog.Verdict

// Pruned is what prune removed, or would remove, and what it had to leave.
type Pruned = catalog.Pruned

// PruneOptions says how to prune.
type PruneOptions struct {
	Remove []string // snapshots, by id or an unambiguous beginning of it, to remove whatever the policy says
	Sweep  bool     // delete what failed sessions have left, although the policy is empty
	DryRun bool     // change nothing, only tell
}

// Prune removes the snapshots that the configuration's retention does not keep,
// and what nothing refers to any more. It needs no lock and may run anywhere, at
// any time, beside snapshots and restores. With an empty policy and no options it
// deletes nothing.
func (r *Repository) Prune(ctx context.Context, o PruneOptions) (*Pruned, error) {
	ids := make([]string, len(o.Remove))
	for i, ref := range o.Remove {
		var err error
		if ids[i], err = r.removable(ctx, ref); err != nil {
			return nil, err
		}
	}
	pruned, err := r.catalog.Prune(ctx, catalog.PruneOptions{
		Policy: policy(r.config().Retention), Remove: ids, Sweep: o.Sweep,
		Grace: time.Duration(r.config().Retention.Grace), DryRun: o.DryRun, Owner: thisProcess(),
	})
	if pruned != nil && len(pruned.Undecided) > 0 {
		r.log.Warn("a group snapshot cannot be decided, so what is its own stays", "error", errors.Join(pruned.Undecided...))
	}
	switch {
	case errors.Is(err, catalog.ErrPinned):
		return nil, problem(CodeFailed, err, "'rocksnap unpin' it first")
	case errors.Is(err, catalog.ErrDamaged):
		return nil, problem(CodeDamaged, err, "'rocksnap verify --level catalog' shows what is affected")
	case err != nil:
		return nil, err
	case len(pruned.Damaged) > 0:
		return pruned, problem(CodeDamaged, fmt.Errorf("prune: no object was deleted: %w", errors.Join(pruned.Damaged...)),
			"while nobody knows what it refers to, everything stays; 'rocksnap prune --remove NAME' gives up an entry, and an intent may be deleted by hand while no snapshot is taken")
	}
	return pruned, nil
}

// removable returns the id that a reference stands for. A damaged entry, whose id
// nobody can read, goes by its own name.
func (r *Repository) removable(ctx context.Context, ref string) (string, error) {
	if catalog.IsEntry(ref) {
		return ref, nil
	}
	m, err := r.Find(ctx, ref)
	if err != nil {
		return "", err
	}
	return m.ID, nil
}

func policy(r config.Retention) catalog.Policy {
	return catalog.Policy{
		Last: r.KeepLast, Hourly: r.KeepHourly, Daily: r.KeepDaily, Weekly: r.KeepWeekly, Monthly: r.KeepMonthly,
		Yearly: r.KeepYearly, Within: time.Duration(r.KeepWithin), Labels: r.KeepLabel,
	}
}

// Pin keeps a snapshot until it is unpinned. It fails when prune came first.
func (r *Repository) Pin(ctx context.Context, ref, reason string) (*Pin, error) {
	m, err := r.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	p, err := r.catalog.Pin(ctx, &m.Summary, reason, thisProcess())
	if err != nil {
		return nil, removedProblem(err)
	}
	return &p, nil
}

// Unpin takes away every pin of a snapshot, and returns how many there were.
func (r *Repository) Unpin(ctx context.Context, ref string) (int, error) {
	m, err := r.Find(ctx, ref)
	if err != nil {
		return 0, err
	}
	return r.catalog.Unpin(ctx, m.ID)
}

// Pins lists the pins, in no order. Those that are damaged are left out and
// returned as errors beside the others.
func (r *Repository) Pins(ctx context.Context) ([]Pin, error) {
	var list []Pin
	var damage []error
	for p, err := range r.catalog.Pins(ctx) {
		switch {
		case errors.Is(err, catalog.ErrDamaged):
			damage = append(damage, err)
		case err != nil:
			return nil, err
		default:
			list = append(list, p)
		}
	}
	if len(damage) > 0 {
		return list, problem(CodeDamaged, errors.Join(damage...), "unpin the snapshot that it was for, and pin it again")
	}
	return list, nil
}

func removedProblem(err error) error {
	if errors.Is(err, catalog.ErrRemoved) {
		return problem(CodeFailed, err, "'rocksnap list' shows what there is")
	}
	return err
}

// hold keeps prune from deleting what a snapshot refers to until release is
// called. In a repository that cannot be written to there is only the grace.
func (r *Repository) hold(ctx context.Context, m *Manifest, reason string) (release func(), err error) {
	release, err = r.catalog.Hold(ctx, &m.Summary, reason, thisProcess())
	switch {
	case errors.Is(err, catalog.ErrRemoved):
		return nil, removedProblem(err)
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		r.log.Warn("nothing keeps prune from removing the snapshot while it is read", "snapshot", m.ID, "error", err)
	}
	return release, nil
}
