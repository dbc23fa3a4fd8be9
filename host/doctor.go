package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/blob/probe"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// Check is one question that [Doctor] asks, and the answer.
type Check struct {
	Name   string
	Result probe.Result
	Detail string // what was found, in words
	Hint   string // what to do about it; empty when all is well
}

// Diagnosis is what [Doctor] found.
type Diagnosis struct {
	Checks []Check // in the order in which they were made
}

// Result returns the worst result.
func (d *Diagnosis) Result() probe.Result {
	worst := probe.Pass
	for _, c := range d.Checks {
		switch c.Result {
		case probe.Fail:
			return probe.Fail
		case probe.Warn:
			worst = probe.Warn
		}
	}
	return worst
}

// Doctor looks whether everything that a configuration names is there and fits
// together: the repository and its store, the keys, the modules of strategies and
// the database. It opens the database neither for reading nor for writing, and
// changes nothing, but for the objects of [probe.Run], which that removes.
//
// What is wrong is in the diagnosis; the error is for a doctor that was cancelled,
// and comes with the checks so far.
func Doctor(ctx context.Context, cfg *config.Config, options ...Option) (*Diagnosis, error) {
	d := &doctor{cfg: cfg, settings: newSettings(options), found: &Diagnosis{}}
	if r := d.repository(ctx); r != nil {
		d.probe(ctx, r)
		d.snapshots(ctx, r)
		d.sessions(ctx, r)
	}
	d.space()
	d.retention()
	d.strategies(ctx)
	d.database()
	if err := ctx.Err(); err != nil {
		return d.found, fmt.Errorf("doctor: %w", err)
	}
	return d.found, nil
}

// doctor is one diagnosis under way.
type doctor struct {
	cfg      *config.Config
	settings settings
	found    *Diagnosis
	newest   *Manifest // nil when there is none, or it cannot be read
}

func (d *doctor) note(name string, result probe.Result, hint, format string, args ...any) {
	d.found.Checks = append(d.found.Checks, Check{name, result, fmt.Sprintf(format, args...), hint})
}

func (d *doctor) pass(name, format string, args ...any) {
	d.note(name, probe.Pass, "", format, args...)
}

func (d *doctor) warn(name, hint, format string, args ...any) {
	d.note(name, probe.Warn, hint, format, args...)
}

func (d *doctor) fail(name string, err error) { d.note(name, probe.Fail, HintOf(err), "%v", err) }

// repository opens the repository, or returns nil.
func (d *doctor) repository(ctx context.Context) *Repository {
	const name = "repository"
	r, err := openRepository(ctx, d.cfg, d.settings)
	if err != nil {
		d.fail(name, err)
		return nil
	}
	f := r.catalog.Format()
	kind := "not encrypted"
	if f.Encrypted {
		kind = "encrypted"
	}
	switch err := r.keys.match(f, true); {
	case err == nil:
		d.pass(name, "%s, %s, format %d, made at %s", d.cfg.Repository.URL, kind, f.Version, f.Created.Format(time.DateTime))
	case d.cfg.Repository.Encryption.IdentityFile != "":
		d.warn(name, HintOf(err), "%v: snapshots can be restored here, and not taken", err)
	default:
		d.fail(name, err)
	}
	return r
}

// probe asks the store again, and compares the answers with those of the time when
// the repository was made.
func (d *doctor) probe(ctx context.Context, r *Repository) {
	report, err := probe.Run(ctx, r.store)
	if err != nil {
		d.note("store", probe.Fail, "allow writing and deleting below probe/; a host that only restores can do without", "%v", err)
		return
	}
	f := r.catalog.Format()
	if len(f.Probe) == 0 {
		d.warn("store", "the checks below make up for it", "it was not asked what it can do when the repository was made")
	}
	for _, c := range report.Checks {
		name, result, detail := "store: "+c.Name, c.Result, c.Detail
		if before := f.Probe[c.Name]; before != "" && before != string(c.Result) {
			detail += fmt.Sprintf(" (%s when the repository was made)", before)
		}
		if result == probe.Fail && f.SingleWriter && c.BetweenWriters() {
			result = probe.Warn // as whoever made the repository accepted
		}
		d.note(name, result, storeHint(result, f), "%s", detail)
	}
}

func storeHint(result probe.Result, f catalog.Format) string {
	switch {
	case result == probe.Fail:
		return "snapshots are not safe on such a store: 'rocksnap copy' them to another"
	case result == probe.Warn && f.SingleWriter:
		return "make sure that only one host takes snapshots or prunes"
	case result == probe.Warn:
		return "rocksnap works with it all the same"
	}
	return ""
}

// snapshots looks whether the newest snapshot can be read, and by whom.
func (d *doctor) snapshots(ctx context.Context, r *Repository) {
	const name = "snapshots"
	list, err := r.List(ctx)
	if err == nil && len(list) > 0 {
		d.newest, err = r.catalog.Manifest(ctx, list[len(list)-1].Slot)
	}
	switch {
	case errors.Is(err, catalog.ErrDamaged):
		d.fail(name, problem(CodeDamaged, err, "'rocksnap verify --level catalog' shows what is affected"))
	case err != nil:
		d.fail(name, err)
	case d.newest == nil:
		d.pass(name, "there are none yet")
	default:
		d.pass(name, "%d, of which the newest is %s of %s", len(list), d.newest.ID, d.newest.Created.UTC().Format(time.DateTime))
	}
	d.identity(r)
	d.recipients(r)
}

// identity looks whether the private key is there and opens the newest snapshot.
// A host that only takes snapshots has none.
func (d *doctor) identity(r *Repository) {
	const name = "private key"
	path := d.cfg.Repository.Encryption.IdentityFile
	if path == "" {
		if r.catalog.Format().Encrypted {
			d.pass(name, "none on this host: snapshots can be taken here, and not be restored")
		}
		return
	}
	identities, err := r.keys.identities()
	if err == nil && d.newest != nil {
		err = r.keys.reveal(d.newest)
	}
	switch {
	case err != nil:
		d.fail(name, err)
	case identities.Warning() != "":
		d.warn(name, "let nobody but its owner read the file", "%s", identities.Warning())
	case d.newest == nil:
		d.pass(name, "%s can be read", path)
	default:
		d.pass(name, "%s opens the newest snapshot", path)
	}
}

// recipients compares for whom the newest snapshot is encrypted with for whom the
// next one will be.
func (d *doctor) recipients(r *Repository) {
	const name = "recipients"
	switch {
	case r.keys.recipients == nil:
	case d.newest == nil || d.newest.Keys == r.keys.id():
		d.pass(name, "%d", len(d.cfg.Repository.Encryption.Recipients))
	default:
		d.warn(name, "if that was not meant, correct [repository.encryption] recipients",
			"they are others than those of the newest snapshot: the next one shares nothing with it and is a full one")
	}
}
