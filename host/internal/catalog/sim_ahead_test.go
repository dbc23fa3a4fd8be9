package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ahead stores some files for the sessions to come, as a host does between them. What
// it has noted must stay until one of them is committed, however many fail.
func (p *process) ahead(w *Writer) error {
	if p.lonely || p.script != nil || p.random.IntN(3) > 0 {
		return nil
	}
	ctx := context.Background()
	s := p.session(w, p.uuid(), nil)
	p.enter("ahead", s.id)
	var err error
	if s.run, err = w.Begin(ctx, s.id); err != nil {
		return fenced(err)
	}
	p.model.sessions[s] = true
	noted := map[string]bool{}
	for i := range 1 + p.random.IntN(3) {
		f, err := s.keep(ctx, fmt.Sprintf("%s%02d", s.database, 4*p.random.IntN(3)+i%3))
		if err != nil {
			break
		}
		noted[f.Object] = true
	}
	if p.random.IntN(2) == 0 {
		err = s.run.Current(ctx)
	}
	closed := s.run.HandOver(ctx)
	delete(p.model.sessions, s)
	s.using = noted
	if closed == nil && len(noted) > 0 && !p.dead {
		p.handed[s] = true
		p.model.handed[s.id] = s
		p.model.done["handed over"]++
	}
	return fenced(err)
}

// fenced leaves out errors after which a host goes on.
func fenced(err error) error {
	if errors.Is(err, ErrFenced) {
		return err
	}
	return nil
}

// keepsAhead says which session has stored an object for those to come.
func (m *model) keepsAhead(object string) string {
	for id, s := range m.handed {
		if s.process.handed[s] && s.using[object] && !s.process.dead && s.epoch >= m.books[s.database].epoch {
			return fmt.Sprintf("session %s, which %s has handed over", id, s.process.name)
		}
	}
	return ""
}

// isHanded says whether an intent is of such a session.
func (m *model) isHanded(intent string) bool {
	return m.handed[intent[strings.LastIndex(intent, "/")+1:]] != nil
}
