package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/config"
)

// errResting is wrapped by the refusal of a strategy that has failed too often.
var errResting = errors.New("the strategy rests after too many failures")

// circuits keep strategies that fail again and again from being tried each time. A
// strategy is refused after so many failures in a row, until it has rested; then
// one attempt decides how it goes on. Only strategies whose on_error is retry or
// fallback are counted. Another module under the same name starts anew, and so does
// one with other settings.
//
// What is known is kept in the state folder, if there is one, since a process may
// take one snapshot only.
type circuits struct {
	folder string // one file for each strategy that has failed; "" for none
	log    *slog.Logger

	mu   sync.Mutex // guards the rest, and every circuit
	open map[string]*circuit
}

// circuit is what is known of a strategy.
type circuit struct {
	suspect
	Failures int       `json:"failures"`         // in a row
	Tripped  time.Time `json:"tripped,omitzero"` // since when it rests; zero while it does not
	Reason   string    `json:"reason,omitempty"` // of the latest failure

	tried bool // an attempt is under way that decides
}

// suspect is what may be to blame for a failure.
type suspect struct {
	Module   string `json:"module"`             // sha256; "" when it could not be read
	Settings string `json:"settings,omitempty"` // sha256 of what the configuration says of it, but for what follows a failure
}

// trial is an attempt whose outcome counts. A nil trial is one that nobody counts.
type trial struct {
	circuits *circuits
	strategy string
	suspect  suspect
	onError  config.OnError
	decides  bool // it is the one after a rest
}

func newCircuits(r *Repository) *circuits {
	c := &circuits{log: r.log, open: make(map[string]*circuit)}
	if r.state != "" {
		c.folder = filepath.Join(r.state, "failures", r.catalog.Format().ID, r.name)
	}
	return c
}

// admit lets a strategy be tried, or fails with [CodePlugin] while it rests.
func (c *circuits) admit(name string, suspect suspect, onError config.OnError) (*trial, error) {
	if onError.TripAfter == 0 {
		return nil, nil
	}
	t := &trial{circuits: c, strategy: name, suspect: suspect, onError: onError}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.of(name, suspect)
	if s.Tripped.IsZero() {
		return t, nil
	}
	again := s.Tripped.Add(time.Duration(onError.CoolDown))
	if s.tried || time.Now().Before(again) {
		return nil, problem(CodePlugin, fmt.Errorf("strategy %q failed %d times in a row: %w, until %s; the latest: %s",
			name, s.Failures, errResting, again.Format(time.RFC3339), s.Reason), "correct its configuration or replace the module")
	}
	s.tried, t.decides = true, true
	return t, nil
}

// end enters the outcome of the attempt. One that ended for another reason than
// the strategy says nothing about it.
func (t *trial) end(err error) {
	if t == nil {
		return
	}
	t.circuits.mu.Lock()
	defer t.circuits.mu.Unlock()
	s := t.circuits.open[t.strategy]
	if s.suspect != t.suspect { // it was replaced meanwhile, and this is about the former
		return
	}
	if t.decides {
		s.tried = false
	}
	switch {
	case err == nil:
		t.circuits.forget(t.strategy, s)
	case fallible(err):
		s.Failures++
		s.Reason = firstLine(err)
		if t.decides || s.Failures >= t.onError.TripAfter {
			s.Tripped = time.Now().UTC()
		}
		t.circuits.keep(t.strategy, s)
	}
}

// of returns what is known of a strategy, with what it now consists of.
func (c *circuits) of(name string, suspect suspect) *circuit {
	s, ok := c.open[name]
	if !ok {
		s = c.read(name)
	}
	if s.suspect != suspect {
		s = &circuit{suspect: suspect}
	}
	c.open[name] = s
	return s
}

// path returns the file of a strategy; "" when nothing is kept.
func (c *circuits) path(name string) string {
	if c.folder == "" {
		return ""
	}
	return filepath.Join(c.folder, name+".json")
}

// read returns what an earlier process knew. What cannot be read is forgotten:
// then the strategy is tried, as if it had never failed.
func (c *circuits) read(name string) *circuit {
	s := &circuit{}
	path := c.path(name)
	if path == "" {
		return s
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("nobody knows how often a strategy has failed", "strategy", name, "file", path, "error", err)
		}
		return &circuit{}
	}
	if s.Tripped.After(time.Now()) { // the clock was put back
		s.Tripped = time.Now()
	}
	return s
}

func (c *circuits) keep(name string, s *circuit) {
	path := c.path(name)
	if path == "" {
		return
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = replaceFile(path, string(text)+"\n")
	}
	if err != nil {
		c.log.Warn("cannot remember that a strategy has failed", "strategy", name, "file", path, "error", err)
	}
}

// forget starts anew after a success.
func (c *circuits) forget(name string, s *circuit) {
	failed := s.Failures > 0
	*s = circuit{suspect: s.suspect}
	path := c.path(name)
	if path == "" || !failed {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("cannot forget that a strategy has failed", "strategy", name, "file", path, "error", err)
	}
}
