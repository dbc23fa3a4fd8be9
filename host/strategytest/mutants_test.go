package strategytest_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/tap"
	"github.com/rocksnap/rocksnap/host/strategytest"
	"github.com/rocksnap/rocksnap/host/strategytest/internal/mutant"
)

// mutate has the subject of a site behave from now on as its option says.
func mutate(t *testing.T, s *strategytest.Site, mutation string) {
	t.Helper()
	options, err := json.Marshal(map[string]string{"mutation": mutation})
	require.NoError(t, err)
	s.Around(func(c *tap.Call, do func() (int, error)) (int, error) {
		n, err := do()
		if c.Name == "config" {
			c.Out = options
		}
		return n, err
	})
}

func subject(t *testing.T) strategytest.Subject {
	return strategytest.Subject{
		Name:   "mutant",
		Open:   func() abi.Strategy { return &mutant.Strategy{Mutation: mutant.Good} },
		Module: strategytest.Build(t, "./internal/mutant/module"),
		Allow: []abi.Grant{
			abi.GrantCheckpoint, abi.GrantUpload, abi.GrantReuse, abi.GrantState, abi.GrantMeta,
			abi.GrantExport, abi.GrantScan, abi.GrantStream,
		},
	}
}

// site is a small database.
func site(t *testing.T, s strategytest.Subject, groups uint32) *strategytest.Site {
	made := strategytest.NewSite(t, s, strategytest.Database{Families: []string{"orders"}, KeyGroups: groups})
	made.Fill("default", 1, 100)
	made.Flush()
	made.Fill("orders", 2, 100)
	return made
}

// The guest proposes, the host proves: whatever a strategy leaves out, forges or
// mixes up is refused by name, and nothing of it is visible.
func TestMutantsAreRefused(t *testing.T) {
	require.GreaterOrEqual(t, len(mutant.All), 24)
	both := subject(t)
	for name, form := range map[string]strategytest.Subject{"native": both.Native(), "module": both.Wasm()} {
		t.Run(name, func(t *testing.T) {
			for _, m := range mutant.All {
				t.Run(m.Name, func(t *testing.T) { isRefused(t, form, m) })
			}
		})
	}
}

func isRefused(t *testing.T, form strategytest.Subject, m mutant.Mutant) {
	s := site(t, form, m.Groups)
	if m.Base {
		mutate(t, s, mutant.Good)
		s.Snapshot()
		s.Fill("default", 3, 10)
	}
	before := s.List()
	mutate(t, s, m.Name)
	_, err := s.TrySnapshot()
	require.ErrorIs(t, err, m.Errno)
	require.ErrorContains(t, err, m.Text)
	assert.Equal(t, host.CodePlugin, host.CodeOf(err), "it is the strategy that failed")
	assert.Equal(t, before, s.List())
	assert.Empty(t, s.Checkpoints())

	mutate(t, s, mutant.Good)
	assert.Equal(t, s.Digest(), s.RestoredDigest(s.Snapshot().ID), "the host goes on")
}

// mutation is a strategy made of two functions.
type mutation struct {
	prepare, snapshot func(context.Context, abi.Session) error
}

func (mutation) Init(context.Context, abi.Session) error { return nil }

func (m mutation) Prepare(ctx context.Context, s abi.Session) error { return m.prepare(ctx, s) }

func (m mutation) Snapshot(ctx context.Context, s abi.Session) error { return m.snapshot(ctx, s) }

func native(m *mutation) strategytest.Subject {
	return strategytest.Subject{Name: "mutant", Open: func() abi.Strategy { return m }}
}

func checkpoint(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func uploadAll(ctx context.Context, s abi.Session) error {
	return abi.UploadAll(ctx, s, abi.ScopePrivate)
}

// uploadBlindly submits every file and waits for none.
func uploadBlindly(_ context.Context, s abi.Session) error {
	files := make([]abi.File, 100)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	uploads := make([]abi.Upload, n)
	for i := range uploads {
		uploads[i].File = files[i].ID
	}
	_, err = s.Upload(uploads)
	return err
}

// A strategy that does not wait for its uploads gets what was stored by then: all
// of it or a refusal, and nothing in between.
func TestReturnsBeforeItsUploadsEnd(t *testing.T) {
	s := site(t, native(&mutation{checkpoint, uploadBlindly}), 0)
	for range 10 {
		before := s.List()
		m, err := s.TrySnapshot()
		if err != nil {
			require.ErrorIs(t, err, abi.EINCOMPLETE)
			require.Equal(t, before, s.List())
			continue
		}
		assert.Equal(t, s.Digest(), s.RestoredDigest(m.ID))
	}
}

// A strategy that takes no notice of being cancelled is not committed.
func TestSwallowsACancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := &mutation{checkpoint, func(_ context.Context, s abi.Session) error {
		if err := uploadAll(context.Background(), s); err != nil {
			return err
		}
		cancel()
		return nil
	}}
	s := site(t, native(m), 0)
	_, err := s.Host.Snapshot(ctx, host.SnapshotOptions{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, host.CodeInterrupted, host.CodeOf(err))
	assert.Empty(t, s.List())

	m.snapshot = func(ctx context.Context, s abi.Session) error {
		_ = uploadAll(ctx, s)
		return nil
	}
	assert.Equal(t, s.Digest(), s.RestoredDigest(s.Snapshot().ID), "the host goes on")
}

// A reuse that fails because the stored object is spoilt leaves a hole, which a
// strategy that does not read its completions does not see. The host does.
func TestIgnoresWhatItsCompletionsSay(t *testing.T) {
	m := &mutation{checkpoint, func(ctx context.Context, s abi.Session) error {
		return abi.Transfer(ctx, s, func(f abi.File) abi.Choice {
			if f.Flags&abi.FileIdentified != 0 && f.Flags&abi.FileImmutable != 0 {
				return abi.Choice{Scope: abi.ScopeShared}
			}
			return abi.Choice{}
		})
	}}
	s := site(t, native(m), 0)
	s.Flush()
	first := s.Snapshot()
	spoil(t, s.Repository(), first)

	m.prepare = func(ctx context.Context, s abi.Session) error {
		if err := s.BaseUse(first.Slot); err != nil {
			return err
		}
		return checkpoint(ctx, s)
	}
	m.snapshot = reuseBlindly
	_, err := s.TrySnapshot()
	require.ErrorIs(t, err, abi.EINCOMPLETE)
	require.ErrorContains(t, err, ".sst")
	assert.Equal(t, []string{first.ID}, s.List())

	m.prepare, m.snapshot = checkpoint, uploadAll
	assert.Equal(t, s.Digest(), s.RestoredDigest(s.Snapshot().ID), "the host goes on")
}

// spoil makes every shared object of a snapshot longer than it was.
func spoil(t *testing.T, repository string, m *host.Manifest) {
	t.Helper()
	spoilt := 0
	for _, f := range m.Contents {
		if f.Scope != abi.ScopeShared {
			continue
		}
		require.NoError(t, filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(path) != filepath.Base(f.Object) {
				return err
			}
			spoilt++
			if err := os.Chmod(path, 0o600); err != nil {
				return err
			}
			return os.WriteFile(path, make([]byte, f.Size+1), 0o600)
		}))
	}
	require.NotZero(t, spoilt)
}

// reuseBlindly reuses what it can, uploads the rest, and looks at no completion.
func reuseBlindly(_ context.Context, s abi.Session) error {
	files := make([]abi.File, 100)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	for _, f := range files[:n] {
		if f.Flags&abi.FileInBase != 0 {
			_, err = s.Reuse([]abi.Reuse{{File: f.ID}})
		} else {
			_, err = s.Upload([]abi.Upload{{File: f.ID}})
		}
		if err != nil {
			return err
		}
	}
	done := make([]abi.Completion, 100)
	for {
		if ended, err := s.Wait(done); ended == 0 || err != nil {
			return err
		}
	}
}

// Tier C with nothing lost is a proven copy.
func TestStreamedCopyIsCanonical(t *testing.T) {
	s := site(t, native(&mutation{func(_ context.Context, s abi.Session) error {
		_, err := s.View()
		return err
	}, mutant.Copy}), 0)
	m := s.Snapshot()
	assert.Equal(t, "canonical", m.Kind)
	assert.Equal(t, s.Digest(), m.ContentDigest)
	assert.Equal(t, s.Digest(), s.RestoredDigest(m.ID))
}
