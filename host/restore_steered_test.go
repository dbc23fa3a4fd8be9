package host_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// backwards uploads everything, and restores from the last file to the first.
type backwards struct {
	skip    int // files not to fetch
	twice   bool
	fetched *[]string
}

func (backwards) Init(context.Context, abi.Session) error { return nil }

func (backwards) Prepare(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func (backwards) Snapshot(ctx context.Context, s abi.Session) error {
	return abi.UploadAll(ctx, s, abi.ScopePrivate)
}

func (b backwards) Restore(_ context.Context, s abi.Session) error {
	files := make([]abi.File, 100)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	for i := n - 1; i >= b.skip; i-- {
		name, err := s.FileName(files[i].ID)
		if err != nil {
			return err
		}
		*b.fetched = append(*b.fetched, name)
		reqs := []abi.Fetch{{File: files[i].ID}, {File: files[i].ID}}[:1]
		if b.twice {
			reqs = reqs[:2]
		}
		if _, err := s.Fetch(reqs); err != nil {
			return err
		}
		if _, err := s.Wait(make([]abi.Completion, 1)); err != nil {
			return err
		}
	}
	_, err = s.Checkpoint()
	if abi.ErrnoOf(err) != abi.EPHASE {
		return assert.AnError
	}
	return nil
}

func TestStrategySteersItsRestore(t *testing.T) {
	db := dbtest.New(t, rocks.Creation{})
	dbtest.Fill(t, db, "default", 1, 100)
	want := dbtest.Digest(t, db)
	cfg := dbtest.Config(t, db)
	var fetched []string
	strategy := backwards{fetched: &fetched}
	opened := host.WithStrategy("backwards", func() abi.Strategy { return strategy })
	h, err := host.Open(t.Context(), cfg, host.Offline(), opened, host.WithModuleCache(dbtest.Cache()))
	require.NoError(t, err)
	defer h.Close()
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "backwards"})
	require.NoError(t, err)

	restore := func(b backwards, allow ...string) (string, error) {
		strategy, fetched = b, nil
		strategy.fetched = &fetched
		cfg.Strategies["backwards"] = config.Strategy{Allow: allow}
		target := filepath.Join(t.TempDir(), "restored")
		_, err := h.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
		return target, err
	}
	target, err := restore(backwards{}, "restore")
	require.NoError(t, err)
	assert.Equal(t, want, dbtest.Digest(t, target))
	assert.Len(t, fetched, m.Files)

	target, err = restore(backwards{skip: 2}, "restore")
	assert.ErrorIs(t, err, abi.EINCOMPLETE)
	assert.ErrorContains(t, err, "did not fetch")
	assert.Contains(t, host.HintOf(err), "take restore out of allow in [strategies.backwards]")
	assert.NoDirExists(t, target)

	_, err = restore(backwards{twice: true}, "restore")
	assert.ErrorIs(t, err, abi.ECONFLICT)

	_, err = restore(backwards{skip: 2})
	require.NoError(t, err, "without the grant nobody is asked")
	assert.Empty(t, fetched)
}

// Whatever ails the module, the error tells that the files do not need it.
func TestRestoreWithoutTheModule(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	for name, lines := range map[string]string{
		"gone":    `module = "none.wasm"`,
		"changed": `sha256 = "` + strings.Repeat("0", 64) + `"`,
		"refused": `config.any = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			table := fmt.Sprintf("module = %q", dbtest.Module(t, "native-full"))
			given := table + "\n" + lines
			if strings.HasPrefix(lines, "module") {
				given = lines
			}
			steering := variants{t, cfg}.with("", table, given, `"upload"]`, `"upload", "restore"]`)
			_, err := openRepository(t, steering, host.WithModuleCache(dbtest.Cache())).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(t.TempDir(), "restored")})
			assert.Equal(t, host.CodePlugin, host.CodeOf(err))
			assert.Contains(t, host.HintOf(err), "take restore out of allow in [strategies.native-full]", "%v", err)
		})
	}
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, m.ID)))
}
