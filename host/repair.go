package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Repaired is the outcome of a repair.
type Repaired struct {
	Verified *Verified // what was found before anything was done
	Healed   []Remedy
	Left     []Remedy
}

// Remedy is what a repair did about one finding.
type Remedy struct {
	Finding
	How string // where it could be had again, or why it could not
}

// Repair verifies, at least at level objects, and stores anew what is missing or
// damaged and can be had again: a file that the database still holds, an object of
// which another one in what was verified holds the same bytes, the module of a
// configured strategy. Nothing is stored that has not the digest of what was lost,
// and what is damaged is deleted only once its replacement was read to its end, or
// once it was set aside under "damaged/", so that no later snapshot reuses it.
//
// The error is of [CodeIrreparable] when something is left; the result is there
// beside it.
func (h *Host) Repair(ctx context.Context, o VerifyOptions) (*Repaired, error) {
	if h.writer == nil {
		return nil, errors.New("repair: the host was opened without a writer")
	}
	if o.Level == LevelCatalog {
		o.Level = LevelObjects
	}
	// While a session is announced, nothing that can be found now is deleted by
	// prune; and a writer that was fenced begins none.
	session, err := h.writer.Begin(ctx, uuid.Must(uuid.NewV7()).String())
	if err != nil {
		return nil, fmt.Errorf("repair: %w", fenced(err))
	}
	defer func() {
		if err := session.Close(context.WithoutCancel(ctx), errNoSnapshot); err != nil {
			h.log.Warn("repair left something behind", "error", err)
		}
	}()
	v, err := h.verify(ctx, o)
	if err != nil {
		return nil, err
	}
	return h.repair(ctx, v)
}

// errNoSnapshot is the outcome of a session that was to commit nothing, and that
// leaves the leftovers of others to the next snapshot.
var errNoSnapshot = errors.New("no snapshot was to be taken")

func (h *Host) repair(ctx context.Context, v *verification) (*Repaired, error) {
	p := &repair{host: h, found: v, outcomes: make(map[string]outcome), result: Repaired{Verified: &v.result}}
	err := errors.Join(p.run(ctx), p.close())
	switch {
	case err != nil:
		err = fmt.Errorf("repair: %w", err)
	case len(p.result.Left) > 0:
		err = problem(CodeIrreparable, fmt.Errorf("repair: %d of %d problems are left", len(p.result.Left), len(v.result.Problems)), p.hint())
	}
	return &p.result, err
}

func (p *repair) hint() string {
	history := 0
	for _, r := range p.result.Left {
		if r.InHistory() {
			history++
		}
	}
	const anew = "take a snapshot: it stores anew what the database still has"
	switch history {
	case 0:
		return anew
	case len(p.result.Left):
		return HistoryHint
	}
	return HistoryHint + "; for the rest, " + anew
}

// repair is one run of Repair, after the verification.
type repair struct {
	host     *Host
	found    *verification
	capture  *capture // nil until it is needed
	release  func()   // of the lease on the database
	outcomes map[string]outcome
	alike    map[string][]*File // what was verified, by digest; nil until it is needed
	result   Repaired
}

// outcome is what became of an object.
type outcome struct {
	healed bool
	how    string
}

func (p *repair) run(ctx context.Context) error {
	for _, f := range p.found.result.Problems {
		o, known := p.outcomes[f.Object]
		if !known {
			var err error
			if o, err = p.treat(ctx, f); err != nil {
				return fmt.Errorf("heal %s: %w", f.Object, err)
			}
			p.outcomes[f.Object] = o
		}
		if o.healed {
			p.result.Healed = append(p.result.Healed, Remedy{f, o.how})
		} else {
			p.result.Left = append(p.result.Left, Remedy{f, o.how})
		}
	}
	return nil
}

func (p *repair) treat(ctx context.Context, f Finding) (outcome, error) {
	if h := p.found.objects[f.Object]; h != nil && h.file.Segment != nil {
		return p.pack(ctx, h)
	} else if h != nil {
		return p.object(ctx, h.file)
	}
	for digest := range p.found.modules {
		if f.Object == catalog.ModuleName(digest) {
			return p.module(ctx, digest)
		}
	}
	if f.InHistory() {
		return outcome{how: "history cannot be repaired"}, nil
	}
	if f.Object == "" {
		return outcome{how: "every object of it is as it was stored"}, nil
	}
	return outcome{how: "nothing else holds what it said"}, nil
}

// object stores an object again, unless somebody else has done so by now.
func (p *repair) object(ctx context.Context, f *File) (outcome, error) {
	what, err := p.host.inspect(ctx, f)
	if what == "" && err == nil {
		what, err = p.host.readObject(ctx, f, nil)
	}
	if err != nil {
		return outcome{}, err
	}
	if what == "" {
		return outcome{true, "it is whole again"}, nil
	}
	for _, find := range []func(context.Context, *File) ([]source, error){p.twins, p.local} {
		sources, err := find(ctx, f)
		if err != nil {
			return outcome{}, err
		}
		for _, s := range sources {
			err := p.host.heal(ctx, f.Object, s)
			if err == nil {
				p.host.log.Info("stored an object again", "object", f.Object, "file", f.Name, "from", s.name)
				return outcome{true, "from " + s.name}, nil
			}
			if !errors.Is(err, abi.ECORRUPT) && !errors.Is(err, abi.ECONFLICT) {
				return outcome{}, err
			}
		}
	}
	return p.leave(ctx, f)
}

// leave sets an object aside that is damaged and that later snapshots could reuse:
// a store may not know that it is damaged, and then they could not be restored
// either. One that is not shared stays, as damaged is better than gone.
func (p *repair) leave(ctx context.Context, f *File) (outcome, error) {
	how := "neither the database nor another object holds it"
	if f.Stored > 0 {
		how = errEncrypted.Error()
	}
	if f.Scope != abi.ScopeShared {
		return outcome{how: how}, nil
	}
	what, err := p.host.readObject(ctx, f, nil)
	if what == "" || what == isMissing { // the store's own account of it may be what is wrong
		return outcome{how: how}, err
	}
	aside, err := p.host.setAside(ctx, f.Object)
	if err != nil {
		return outcome{}, err
	}
	p.host.log.Warn("set a damaged object aside", "object", f.Object, "file", f.Name, "as", aside)
	return outcome{how: how + ": set aside as " + aside + "; the next snapshot stores the file anew if the database still has it"}, nil
}

// twins lists the places that hold the same bytes.
func (p *repair) twins(ctx context.Context, f *File) (list []source, err error) {
	if p.alike == nil {
		p.alike = make(map[string][]*File)
		for _, h := range p.found.objects {
			for _, g := range h.files() {
				p.alike[g.Digest] = append(p.alike[g.Digest], g)
			}
		}
	}
	for _, g := range p.alike[f.Digest] {
		isLost := g.Segment == nil && p.found.isBroken(g.Object) // of a pack some may be whole
		if g.Object != f.Object && !isLost {
			list = append(list, source{"object " + g.Object, func() (io.ReadCloser, error) {
				return p.host.openStored(ctx, g, nil)
			}})
		}
	}
	return list, nil
}

// local lists the files of the database that may be the one that was stored. The
// digest tells for sure.
func (p *repair) local(_ context.Context, f *File) (list []source, err error) {
	if f.Stored > 0 {
		return nil, nil
	}
	if err := p.checkpoint(); err != nil {
		return nil, err
	}
	for i := range p.capture.files {
		e := &p.capture.files[i].entry
		if e.Size == f.Size && e.Identity == f.Identity && (f.Identity != "" || e.Name == f.Name) {
			path := filepath.Join(p.capture.dir, e.Name)
			list = append(list, source{"the database's " + e.Name, func() (io.ReadCloser, error) { return openSame(f, path) }})
		}
	}
	return list, nil
}

// checkpoint makes the checkpoint, once.
func (p *repair) checkpoint() error {
	if p.capture != nil {
		return nil
	}
	release, err := p.host.db.Acquire()
	if err != nil {
		return err
	}
	p.release = release
	identity, err := p.host.db.Identity()
	if err != nil {
		return err
	}
	history, err := readLineage(p.host.db.Path(), identity)
	if err != nil {
		return err
	}
	p.capture, err = p.host.checkpoint(rocks.Flush(p.host.config().Snapshot.Flush), history.origin)
	return err
}

func (p *repair) close() (err error) {
	if p.capture != nil {
		err = p.capture.remove()
	}
	if p.release != nil {
		p.release()
	}
	return err
}

// module stores a module again when it is that of a configured strategy.
func (p *repair) module(ctx context.Context, digest string) (outcome, error) {
	g, err := p.host.strategies.take(nil)
	if err != nil {
		return outcome{}, err
	}
	defer g.release(ctx)
	for name, table := range g.cfg.Strategies {
		file, err := g.read(name, table)
		if err != nil || file.digest != digest {
			continue // a strategy that is not installed here, or another one
		}
		if err := p.host.store.Delete(ctx, catalog.ModuleName(digest)); err != nil {
			return outcome{}, err
		}
		if err := p.host.catalog.PutModule(ctx, digest, file.wasm); err != nil {
			return outcome{}, err
		}
		return outcome{true, "from the configured strategy " + name}, nil
	}
	return outcome{how: "no configured strategy has this module"}, nil
}
