// Package strategytest holds the laws of a snapshot strategy, for the authors of
// strategies. [Run] drives a strategy over a real RocksDB and a real repository,
// natively and as a module, through every failure that a host can answer with:
//
//	func TestLaws(t *testing.T) {
//		strategytest.Run(t, strategytest.Subject{
//			Name:   "everything",
//			Open:   func() abi.Strategy { return everything{} },
//			Module: strategytest.Build(t, "."),
//			Allow:  []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload},
//		})
//	}
//
// [Check] does the same outside of a Go test, for a module in any language, and
// makes a report of it; 'rocksnap plugin test' is its command.
//
// The laws are about strategies whose snapshots restore to the very content of
// the database. One that changes it on purpose says so with Custom. What a
// strategy promises beyond the laws is tested on a [Site].
package strategytest

import (
	"slices"
	"testing"

	"github.com/rocksnap/rocksnap/abi"
)

// Subject is a strategy under test. With both Open and Module it is run in both
// forms, which then have to make the same calls.
type Subject struct {
	Name    string              // in the configuration and in manifests
	Open    func() abi.Strategy // the native form; called for each snapshot
	Module  string              // path of the module, as from [Build]
	Allow   []abi.Grant         // what the module needs
	Config  string              // lines of the strategy's own table, in TOML
	Reuses  bool                // a second snapshot takes over what the first one shares
	Records bool                // it works on the view, not on the checkpoint
	Custom  bool                // its snapshots differ from the database on purpose
	Trace   string              // golden file of its calls; "" for none

	unknown bool   // whether it reuses, and of which kind its snapshots are
	cache   string // folder of compiled modules; "" for that of tests
	runs    int    // of the law about memory; 0 for fewer than a report has
}

// law is a property of every strategy, in one of its forms.
type law struct {
	name    string
	check   func(t T, s Subject)
	content bool // it compares what is restored with the database
	slow    bool // it takes many seconds
	only    only // the form that it is checked on in a Go test
}

// only says on which form of a subject with two forms a law is checked.
type only int

const (
	each only = iota
	first
	last
)

var laws = []law{
	{name: "restores every kind of database", check: restoresEveryDatabase, content: true},
	{name: "an empty database gives an empty snapshot", check: emptyDatabase},
	{name: "writes after Begin are invisible", check: laterWritesAreInvisible, content: true},
	{name: "overlapping snapshots are both right", check: overlappingSnapshots, content: true},
	{name: "stores what it says", check: storesWhatItSays},
	{name: "a call that fails fails the snapshot", check: failsAtEveryCall},
	{name: "can be cancelled at every call", check: cancelsAtEveryCall},
	{name: "can be cancelled in every phase", check: cancelsInEveryPhase},
	{name: "does the same when a run is replayed", check: replays},
	{name: "ten thousand files", check: tenThousandFiles, slow: true, only: last},
	{name: "memory stays flat", check: memoryStaysFlat, slow: true, only: last},
	{name: "survives every failure of the store", check: survivesStoreFailures, slow: true, only: first},
}

// outside says why a law says nothing about a subject; "" when it does.
func (l law) outside(s Subject) string {
	if l.content && s.Custom {
		return "its snapshots differ from the database on purpose"
	}
	return ""
}

// Run checks all laws. With -short it leaves out those that take many seconds; of
// these each is checked on one of the forms.
func Run(t *testing.T, s Subject) {
	forms := s.forms()
	holds(t, len(forms) > 0, "the subject has neither Open nor Module")
	for i, form := range forms {
		t.Run(form.form(), func(t *testing.T) {
			for _, l := range laws {
				elsewhere := l.only == first && i > 0 || l.only == last && i+1 < len(forms)
				if elsewhere || l.slow && testing.Short() {
					continue
				}
				t.Run(l.name, func(t *testing.T) {
					if why := l.outside(form); why != "" {
						t.Skip(why)
					}
					l.check(t, form)
				})
			}
		})
	}
	t.Run("trace", func(t *testing.T) { sameTrace(t, forms) })
}

// Native returns the subject's native form alone.
func (s Subject) Native() Subject {
	s.Module = ""
	return s
}

// Wasm returns the subject's module alone.
func (s Subject) Wasm() Subject {
	s.Open = nil
	return s
}

func (s Subject) forms() []Subject {
	var forms []Subject
	if s.Open != nil {
		forms = append(forms, s.Native())
	}
	if s.Module != "" {
		forms = append(forms, s.Wasm())
	}
	return forms
}

func (s Subject) form() string {
	if s.Open != nil {
		return "native"
	}
	return "module"
}

// kind returns the kind of its snapshots.
func (s Subject) kind() string {
	switch {
	case s.Custom:
		return "custom"
	case s.Records:
		return "canonical"
	}
	return "native"
}

// compiled returns the folder of compiled modules.
func (s Subject) compiled() (string, error) {
	if s.cache != "" {
		return s.cache, nil
	}
	return cache()
}

// requireRestores restores a snapshot and compares it with a content digest,
// unless the strategy changes the content on purpose.
func (s *Site) requireRestores(want, id string) {
	s.t.Helper()
	got := s.RestoredDigest(id)
	holds(s.t, s.subject.Custom || got == want, "the restored database has digest %s, the original had %s", got, want)
}

// requireUnchanged demands that a failed snapshot left nothing behind.
func (s *Site) requireUnchanged(before []string) {
	s.t.Helper()
	after := s.List()
	holds(s.t, slices.Equal(before, after), "a failed snapshot is visible: %v, before it %v", after, before)
	left := s.Checkpoints()
	holds(s.t, len(left) == 0, "a failed snapshot left its checkpoint: %v", left)
}
