package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// sessions runs one session or two side by side. They take turns at what the
// writer's mutex guards, because a mutex does not show that its owner waits.
func (p *process) sessions(w *Writer) error {
	turns := make(chan bool, 1)
	ends := make(chan error, 2)
	n := 1 + p.random.IntN(4)/3
	for range n {
		s := p.session(w, p.uuid(), turns)
		s.origins = p.origins(s.database)
		go func() { ends <- s.take() }()
	}
	var err error
	for range n {
		if e := <-ends; e != nil {
			err = e
		}
	}
	return err
}

func (p *process) session(w *Writer, id string, turns chan bool) *simSession {
	return &simSession{
		process: p, id: id, database: w.catalog.database, writer: w, epoch: w.Epoch(), turns: turns, using: map[string]bool{},
	}
}

// simSession takes one snapshot as a host does.
type simSession struct {
	*process
	id       string
	database string
	writer   *Writer
	epoch    uint64
	turns    chan bool
	origins  []Origin // that it announces, and prefers as its base
	run      *Session
	base     *Manifest
	using    map[string]bool
	group    string // that it is part of, or ""
}

func (s *simSession) alone(do func() error) error {
	s.turns <- true
	s.enter("turn", s.id)
	defer func() { <-s.turns }()
	return do()
}

func (s *simSession) take() (err error) {
	ctx := context.Background()
	s.enter("session", s.id)
	part, over, err := s.join(ctx)
	if over || err != nil {
		return err
	}
	err = s.alone(func() (err error) { s.run, err = s.announce(ctx, part); return err })
	if err != nil {
		return err
	}
	s.model.sessions[s] = true
	m, err := s.store(ctx)
	if err == nil && s.random.Float64() < s.nature.cancel {
		err = errors.New("cancelled")
	}
	if err == nil {
		s.model.books[s.database].attempts[m.ID] = true
		err = s.alone(func() error { return s.publish(ctx, part, m) })
		s.tell("%s: session %s: committed in %d: %v", s.name, s.id, m.Slot, err)
		s.model.reported(s.process, m, err)
	}
	if err != nil && part != nil {
		_, _ = part.Abort(ctx, err.Error())
	}
	if !s.process.dead && !errors.Is(err, blob.ErrUnknownOutcome) {
		delete(s.model.sessions, s)
	}
	if err == nil { // it withdraws what it has adopted
		clear(s.process.handed)
	}
	closeErr := s.alone(func() error { return s.run.Close(ctx, err) })
	delete(s.model.sessions, s)
	if errors.Is(err, ErrFenced) {
		s.model.done["fenced"]++
		return err
	}
	_ = closeErr // what is left is swept
	return nil
}

// store chooses a base and stores the files of the database.
func (s *simSession) store(ctx context.Context) (*Manifest, error) {
	if err := s.choose(ctx); err != nil {
		return nil, err
	}
	m := &Manifest{Summary: Summary{
		ID: s.id, Database: s.database, Kind: KindNative, Strategy: Strategy{Name: "incremental", ABI: "1.0"}, Created: time.Now(),
	}}
	if s.base != nil {
		m.Base = s.base.ID
	}
	database := s.database
	if s.base != nil {
		database = s.base.Database
	}
	for i := range 3 {
		group := s.random.IntN(3)
		if i < 2 && (s.lonely || s.script != nil) {
			group = 0 // a script counts on what is shared
		}
		identity := fmt.Sprintf("%s%02d", database, 4*group+i)
		f, err := s.keep(ctx, identity)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(m.Contents, func(o File) bool { return o.Name == f.Name }) {
			m.Contents = append(m.Contents, f)
		}
	}
	m.SumUp()
	return m, nil
}

// choose picks a base among the newest snapshots.
func (s *simSession) choose(ctx context.Context) error {
	if len(s.origins) > 0 {
		return s.chooseOrigin(ctx)
	}
	var list []Summary
	for sum, err := range s.writer.catalog.Snapshots(ctx) {
		if err != nil {
			return err
		}
		list = append(list, sum)
	}
	if len(list) == 0 || s.random.IntN(6) == 0 {
		return nil
	}
	base := list[max(0, len(list)-1-s.random.IntN(3))]
	m, err := s.writer.catalog.Manifest(ctx, base.Slot)
	if err != nil {
		return err
	}
	if m.ID != base.ID {
		return errors.New("the base is void")
	}
	s.base = m
	for _, f := range m.Contents {
		s.using[f.Object] = true
	}
	s.model.done["bases"]++
	return nil
}

// origins picks a snapshot of the other database, sometimes.
func (p *process) origins(database string) []Origin {
	other := map[string]string{"users": "orders", "orders": "users", "stock": "orders"}[database]
	if p.model.books[other].last == 0 || p.random.IntN(3) > 0 {
		return nil
	}
	m := p.find(context.Background(), p.open(other))
	if m == nil {
		return nil
	}
	p.rest(time.Duration(p.random.IntN(20)) * time.Second)
	return []Origin{{Database: other, Snapshot: m.ID, Slot: m.Slot}}
}

// chooseOrigin takes the first of the origins as base, unless it is gone.
func (s *simSession) chooseOrigin(ctx context.Context) error {
	m, err := s.writer.catalog.Origin(ctx, s.origins[0])
	if errors.Is(err, ErrRemoved) || errors.Is(err, fs.ErrNotExist) {
		s.model.done["origins gone"]++
		return nil
	}
	if err != nil {
		return err
	}
	s.base = m
	for _, f := range m.Contents {
		s.using[f.Object] = true
	}
	s.model.done["origins"]++
	return nil
}

// keep finds or stores a file.
func (s *simSession) keep(ctx context.Context, identity string) (File, error) {
	if s.base != nil {
		for _, f := range s.base.Contents {
			if f.Identity == identity {
				return s.reuse(ctx, f)
			}
		}
	}
	left, ok := s.run.Claim(identity)
	if ok {
		s.using[left.Object] = true
	}
	if ok && left.Whole() {
		if _, err := s.process.Stat(ctx, left.Object); err == nil {
			s.model.done["resumed"]++
			return s.noted(ctx, identity, left.Object)
		}
	}
	if ok && !left.Whole() {
		err := s.send(ctx, identity, left.Object)
		switch {
		case err == nil:
			s.model.done["resumed in the middle"]++
			return s.noted(ctx, identity, left.Object)
		case !errors.Is(err, fs.ErrExist):
			return File{}, err
		}
	}
	object := s.run.Mint()
	s.using[object] = true
	if s.random.IntN(3) == 0 {
		if err := s.run.Note(ctx, Stored{Key: identity, Object: object, Size: int64(len(content(identity)))}); err != nil {
			return File{}, err
		}
	}
	if err := s.send(ctx, identity, object); err != nil {
		return File{}, err
	}
	return s.noted(ctx, identity, object)
}

func (s *simSession) reuse(ctx context.Context, f File) (File, error) {
	_, err := s.process.Stat(ctx, f.Object)
	if errors.Is(err, fs.ErrNotExist) && !s.process.dead && s.epoch >= s.model.books[s.database].epoch {
		s.model.violated("session %s misses object %s of its base %s", s.id, f.Object, s.base.ID)
	}
	return file(f.Identity, f.Object, true), err
}

func (s *simSession) send(ctx context.Context, identity, object string) error {
	err := s.process.Create(ctx, object, strings.NewReader(content(identity)))
	if errors.Is(err, blob.ErrUnknownOutcome) {
		_, err = s.process.Stat(ctx, object)
	}
	return err
}

func (s *simSession) noted(ctx context.Context, identity, object string) (File, error) {
	f := file(identity, object, false)
	s.using[object] = true
	s.rest(time.Duration(s.random.IntN(900)) * time.Millisecond)
	return f, s.run.Note(ctx, Stored{Key: identity, Object: object, Size: f.Size, Stored: f.Size, Digest: f.Digest})
}
