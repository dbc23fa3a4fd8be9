// Package probe finds out what a store really does. Many providers speak the
// protocol of S3, and not all of them keep its promises; the catalog stands on
// one of them, that a name is taken once. So a repository asks before it trusts.
package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Result is the outcome of a [Check].
type Result string

// The results.
const (
	Pass Result = "pass"
	Warn Result = "warn" // rocksnap works, but something will be slower or weaker
	Fail Result = "fail" // a promise of [blob.Store] is broken, or could not be tested
)

// Check is one promise of a store and what became of it.
type Check struct {
	Name   string
	Result Result
	Detail string // what was found, in words
}

// BetweenWriters says whether the check is of what keeps two writers apart: a store
// that fails it may still serve a single one.
func (c Check) BetweenWriters() bool { return strings.HasPrefix(c.Name, createTwice) }

// Report tells what a store does.
type Report struct {
	Checks    []Check       // in the order in which they were made
	Exclusive bool          // of many creators of a name, exactly one wins
	Checksums bool          // the store knows the right CRC32C of every object
	ClockSkew time.Duration // by how much the store's clock is ahead of ours; stores may tell whole seconds
}

// Result returns the worst result of a report.
func (r Report) Result() Result {
	worst := Pass
	for _, c := range r.Checks {
		if c.Result == Fail {
			return Fail
		}
		if c.Result == Warn {
			worst = Warn
		}
	}
	return worst
}

// Sizes and numbers of what a probe does.
const (
	smallSize = 10_000
	largeSize = 17 << 20 // more than a store sends in one piece
	creators  = 16       // of one name, at once
	rounds    = 8
	largeRace = 4 // creators of a large object, each of which may send all of it
)

// Run tests a store with objects below probe/, which it deletes afterwards, also
// when ctx is cancelled. It makes some 400 calls, and sends and reads about 100 MB.
//
// A promise that the store breaks is a failed check, and so is one that cannot be
// tested because of some other error. Run itself fails when the store cannot be
// written at all, and, with the report so far, when ctx is cancelled.
func Run(ctx context.Context, s blob.Store) (Report, error) {
	p := &probe{store: s, dir: root + uuid.NewString() + "/"}
	if err := p.create(ctx, "first", 'f', smallSize); err != nil {
		return Report{}, fmt.Errorf("probe store: %w", err)
	}
	for _, c := range checks {
		detail, failed := c.run(p, ctx)
		if err := ctx.Err(); err != nil {
			return p.report, errors.Join(fmt.Errorf("probe store: %w", err), p.abandon(ctx))
		}
		p.note(c.name, detail, failed)
	}
	p.note("clean up", "nothing is left", p.remove(ctx))
	p.report.Exclusive = p.passed(createTwice, raceSmall, raceLarge)
	p.report.Checksums = p.passed(checksums)
	return p.report, nil
}

// Names of the checks that the report sums up.
const (
	createTwice = "conditional create"
	raceSmall   = "conditional create, many at once"
	raceLarge   = "conditional create of large objects, many at once"
	checksums   = "checksums"
)

// checks are made in this order; some use the objects of those before them.
var checks = []struct {
	name string
	run  func(*probe, context.Context) (detail string, err error)
}{
	{"create and read", (*probe).readBack},
	{createTwice, (*probe).createTwice},
	{raceSmall, (*probe).raceSmall},
	{raceLarge, (*probe).raceLarge},
	{"ranged reads", (*probe).ranges},
	{checksums, (*probe).checksums},
	{"clock", (*probe).clock},
	{"list after create", (*probe).listAfterCreate},
	{"order and pages of lists", (*probe).listOrder},
	{"delete many", (*probe).deleteMany},
	{"list after delete", (*probe).listAfterDelete},
}

// warning is an error that is none of the store's promises.
type warning string

func (w warning) Error() string { return string(w) }

// probe is one run, whose objects are below dir.
type probe struct {
	store  blob.Store
	dir    string
	large  byte // of which the object "large" consists; 0 when that is not known
	report Report
}

// note adds the outcome of a check to the report.
func (p *probe) note(name, detail string, err error) {
	check := Check{Name: name, Result: Pass, Detail: detail}
	if err != nil {
		check.Result, check.Detail = Fail, err.Error()
	}
	if errors.As(err, new(warning)) {
		check.Result = Warn
	}
	p.report.Checks = append(p.report.Checks, check)
}

// passed reports whether every one of some checks did.
func (p *probe) passed(names ...string) bool {
	for _, c := range p.report.Checks {
		if c.Result != Pass && slices.Contains(names, c.Name) {
			return false
		}
	}
	return true
}
