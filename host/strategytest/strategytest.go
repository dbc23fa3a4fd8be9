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
// The laws are about strategies whose snapshots restore to the very content of
// the database. What a strategy promises beyond them is tested on a [Site].
package strategytest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
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
	Trace   string              // golden file of its calls; "" for none
}

// law is a property of every strategy, in one of its forms.
type law struct {
	name  string
	check func(t *testing.T, s Subject)
}

var laws = []law{
	{"restores every kind of database", restoresEveryDatabase},
	{"an empty database gives an empty snapshot", emptyDatabase},
	{"writes after Begin are invisible", laterWritesAreInvisible},
	{"overlapping snapshots are both right", overlappingSnapshots},
	{"stores what it says", storesWhatItSays},
	{"a call that fails fails the snapshot", failsAtEveryCall},
	{"can be cancelled at every call", cancelsAtEveryCall},
}

// Run checks all laws.
func Run(t *testing.T, s Subject) {
	forms := s.forms()
	require.NotEmpty(t, forms, "the subject has neither Open nor Module")
	for i, form := range forms {
		t.Run(form.form(), func(t *testing.T) {
			for _, l := range laws {
				t.Run(l.name, func(t *testing.T) { l.check(t, form) })
			}
			if i == 0 { // a store cannot tell in which form its user runs
				t.Run("survives every failure of the store", func(t *testing.T) { survivesStoreFailures(t, form) })
			}
		})
	}
	t.Run("trace", func(t *testing.T) { sameTrace(t, forms) })
}

// Build builds a Go package as a module, once per test process, and returns the
// module's path.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return dbtest.Build(t, pkg)
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
	if s.Records {
		return "canonical"
	}
	return "native"
}

// requireRestores restores a snapshot and compares it with a content digest.
func (s *Site) requireRestores(want, id string) {
	s.t.Helper()
	require.Equal(s.t, want, s.RestoredDigest(id), "content of the restored database")
}

// requireUnchanged demands that a failed snapshot left nothing behind.
func (s *Site) requireUnchanged(before []string) {
	s.t.Helper()
	assert.Equal(s.t, before, s.List(), "a failed snapshot is visible")
	assert.Empty(s.t, s.Checkpoints(), "a failed snapshot left its checkpoint")
}
