package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// frail uploads all files, unless it has a reason not to.
type frail struct {
	dbtest.Files
	reason func() error
}

func (f frail) Snapshot(ctx context.Context, s abi.Session) error {
	if err := f.reason(); err != nil {
		return err
	}
	return f.Files.Snapshot(ctx, s)
}

// frailty registers a frail strategy under a name.
func frailty(name string, reason func() error) host.Option {
	return host.WithStrategy(name, func() abi.Strategy { return frail{reason: reason} })
}

// table is the configuration of a strategy that is registered natively.
func table(name, onError string) string {
	return fmt.Sprintf("[strategies.%s]\nmodule = \"none.wasm\"\non_error = %s", name, onError)
}

func broken() error { return errors.New("it broke") }

// A module that refuses its configuration is replaced by another, and everybody
// who looks at the snapshot can tell.
func TestFallback(t *testing.T) {
	path := shapes[0].make(t)
	digest := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path, "[strategies.mine]", fmt.Sprintf("module = %q", dbtest.Module(t, "incremental")),
		"allow_unpinned = true", `allow = ["checkpoint", "upload", "reuse", "state"]`,
		`on_error = { mode = "fallback", to = "canonical", attempts = 1 }`, "[strategies.mine.config]", "full_evry = 3")
	log := &strings.Builder{}
	h := open(t, cfg, host.Offline(), host.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine", Labels: map[string]string{"a": "b"}})
	require.NoError(t, err)
	assert.Equal(t, "canonical", m.Strategy.Name)
	assert.Equal(t, "b", m.Labels["a"])

	found, err := h.Find(t.Context(), m.ID)
	require.NoError(t, err)
	assert.Equal(t, m.Strategy, found.Strategy)
	assert.Equal(t, "mine", found.Strategy.FallbackFor)
	assert.Contains(t, found.Strategy.FallbackReason, "full_evry")
	assert.Equal(t, "runtime", found.Strategy.Isolation)
	assert.Contains(t, log.String(), "level=WARN msg=\"strategy failed, another takes the snapshot instead\" strategy=mine instead=canonical")
	assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, m.ID)))

	_, err = h.Begin(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.ErrorContains(t, err, "full_evry", "it is one attempt")
	m, err = h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
	require.NoError(t, err)
	assert.Empty(t, m.Strategy.FallbackFor)
}

// A host opens without the module that it was to use, when it can do without.
func TestFallbackFromMissingModule(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, table("mine", `{ mode = "fallback", attempts = 1 }`), table("other", `"retry"`))
	cfg.Snapshot.Strategy = "mine"
	h := open(t, cfg, host.Offline())
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	assert.Equal(t, "native-full", m.Strategy.Name)
	assert.Contains(t, m.Strategy.FallbackReason, "none.wasm")
	cfg.Snapshot.Strategy = "other"
	_, err = host.Open(t.Context(), cfg, host.Offline())
	require.ErrorContains(t, err, "none.wasm")
}

// A fallback may have one of its own. Each strategy is tried as often as its own
// table says, and when the last one fails too, its error tells of the others.
func TestFallbackChain(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path,
		table("one", `{ mode = "fallback", to = "two", attempts = 2, backoff = "0s" }`),
		table("two", `{ mode = "fallback", to = "three", attempts = 1 }`), table("three", `"fail"`))
	var last error
	var tried []string
	frail := func(name string, reason func() error) host.Option {
		return frailty(name, func() error { tried = append(tried, name); return reason() })
	}
	h := open(t, cfg, host.Offline(), frail("one", broken), frail("two", func() error { return errors.New("so did this\nand more") }),
		frail("three", func() error { return last }))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "one"})
	require.NoError(t, err)
	assert.Equal(t, []string{"one", "one", "two", "three"}, tried)
	assert.Equal(t, "one", m.Strategy.FallbackFor)
	assert.Equal(t, `strategy "one": snapshot: it broke; then strategy "two": snapshot: so did this`, m.Strategy.FallbackReason)

	last = errors.New("as bad")
	_, err = h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "one"})
	require.ErrorContains(t, err, `strategy "three": snapshot: as bad (strategy three stood in after: `+m.Strategy.FallbackReason+`)`)
	assert.Equal(t, host.CodePlugin, host.CodeOf(err))
	assert.Equal(t, []string{m.ID}, listed(t, cfg))
	requireClean(t, path)
}

func TestRetry(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, table("mine", `{ mode = "retry", attempts = 3, backoff = "1ms" }`))
	left := 2
	h := open(t, cfg, host.Offline(), frailty("mine", func() error {
		if left--; left >= 0 {
			return broken()
		}
		return nil
	}))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.NoError(t, err)
	assert.Equal(t, "mine", m.Strategy.Name)
	assert.Empty(t, m.Strategy.FallbackFor)
	left = 3
	_, err = h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.ErrorContains(t, err, "it broke")
	assert.Zero(t, left, "three attempts")
	assert.Equal(t, []string{m.ID}, listed(t, cfg))
}

// full is a store without room for objects.
type full struct{ blob.Store }

func (f full) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.HasPrefix(name, "objects/") {
		return errors.New("no room")
	}
	return f.Store.Create(ctx, name, r)
}

// What would hit another strategy as well, or is somebody's wish, is returned at
// once, and is not counted.
func TestOnlyStrategiesAreReplaced(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, table("mine", `{ mode = "fallback", attempts = 3, backoff = "0s", trip_after = 1 }`))
	var attempts atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var reason func() error
	mine := frailty("mine", func() error { attempts.Add(1); return reason() })
	reason = func() error { return nil }
	h := open(t, cfg, host.Offline(), mine, host.WithStore(full{store(t, cfg)}))
	for range 2 {
		_, err := h.Snapshot(ctx, host.SnapshotOptions{Strategy: "mine"})
		require.ErrorContains(t, err, "no room")
		assert.Equal(t, host.CodeFailed, host.CodeOf(err))
	}
	require.NoError(t, h.Close())
	h = open(t, cfg, host.Offline(), mine)
	reason = func() error { cancel(); return broken() }
	_, err := h.Snapshot(ctx, host.SnapshotOptions{Strategy: "mine"})
	require.ErrorIs(t, err, context.Canceled)
	assert.EqualValues(t, 3, attempts.Load())
	assert.Empty(t, listed(t, cfg))

	reason = broken
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.NoError(t, err)
	assert.Equal(t, "native-full", m.Strategy.Name)
	assert.EqualValues(t, 4, attempts.Load(), "one failure was enough, so that it was not tried again")
}

// A strategy that fails again and again is left alone, also by the next process,
// until another module comes.
func TestRest(t *testing.T) {
	path := shapes[0].make(t)
	state := host.WithStateDir(filepath.Join(t.TempDir(), "state"))
	module := filepath.Join(t.TempDir(), "mine.wasm")
	writeModule(t, module, "one")
	cfg := dbtest.Config(t, path, "[strategies.mine]", fmt.Sprintf("module = %q", module), "allow_unpinned = true",
		`on_error = { mode = "fallback", attempts = 2, backoff = "0s", trip_after = 3 }`)
	begin := func(h *host.Host) error {
		op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: "mine"})
		if err == nil {
			_, err = op.Wait()
		}
		return err
	}
	for range 2 {
		h := open(t, cfg, host.Offline(), state)
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
		require.NoError(t, err)
		assert.Equal(t, "mine", m.Strategy.FallbackFor)
		assert.Contains(t, m.Strategy.FallbackReason, "neither a checkpoint nor a view")
		require.NoError(t, h.Close())
	}
	h := open(t, cfg, host.Offline(), state)
	require.ErrorContains(t, begin(h), "failed 3 times in a row: the strategy rests after too many failures, until ")
	_, err := h.Plan(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.NotContains(t, err.Error(), "rests", "a plan is a way to find out")
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.NoError(t, err)
	assert.Contains(t, m.Strategy.FallbackReason, "rests")

	writeModule(t, module, "two")
	require.ErrorContains(t, begin(h), "rests", "what was read once is not read again")
	require.NoError(t, h.Reload(t.Context(), cfg))
	require.ErrorContains(t, begin(h), "neither a checkpoint nor a view")
}

// The error of a strategy may quote what is in the database.
func TestFallbackReasonIsSecret(t *testing.T) {
	path := shapes[0].make(t)
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	cfg := dbtest.Config(t, path, "[repository.encryption]", fmt.Sprintf("recipients = [%q]", key.Recipient()),
		table("mine", `{ mode = "fallback", attempts = 1 }`))
	h := open(t, cfg, host.Offline(), frailty("mine", broken))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.NoError(t, err)
	assert.Equal(t, "mine", m.Strategy.FallbackFor)
	assert.NotContains(t, m.Strategy.FallbackReason, "it broke")
	assert.NotEmpty(t, m.Strategy.FallbackReason)
}
