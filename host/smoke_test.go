package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	db, err := rocks.Open(filepath.Join(dir, "db"), rocks.Options{CreateIfMissing: true, Creation: rocks.Creation{Families: []string{"other"}}})
	require.NoError(t, err)
	var block []byte
	for i := range 10000 {
		block = canonical.AppendRecord(block, fmt.Appendf(nil, "key%08d", i), fmt.Appendf(nil, "value%d", i))
	}
	require.NoError(t, db.PutBlock("default", block))
	require.NoError(t, db.PutBlock("other", block[:0]))
	require.NoError(t, db.Flush())
	require.NoError(t, db.Close())
	cfgPath := filepath.Join(dir, "rocksnap.toml")
	require.NoError(t, os.WriteFile(cfgPath, []byte("version = 1\n[database]\npath=\"db\"\n[repository]\nurl=\"file:repo\"\n[snapshot]\nstrategy=\"incremental\"\n"), 0o644))
	cfg, err := config.Load(cfgPath)
	require.NoError(t, err)
	for name, s := range cfg.Strategies {
		s.AllowUnpinned = true
		cfg.Strategies[name] = s
	}
	t.Setenv("ROCKSNAP_PLUGIN_PATH", "/tmp")
	require.NoError(t, host.Init(ctx, cfg))
	for i, s := range []string{"native-full", "incremental", "incremental", "canonical"} {
		h, err := host.Open(ctx, cfg, host.Offline(), host.WithModuleCache("/tmp/wcache"))
		require.NoError(t, err)
		m, err := h.Snapshot(ctx, host.SnapshotOptions{Strategy: s})
		require.NoError(t, err)
		t.Logf("%s %s files=%d full=%d new=%d reused=%d prep=%v total=%v", s, m.Kind, m.Files, m.BytesFull, m.BytesNew, m.BytesReused, m.PrepareMs, m.TotalMs)
		r, err := h.Restore(ctx, m.ID, filepath.Join(dir, fmt.Sprint("restored", i)))
		require.NoError(t, err)
		c, err := host.DigestDatabase(ctx, r.Target, 2, nil)
		require.NoError(t, err)
		t.Log(c.Digest, c.Records)
		v, err := h.Verify(ctx, host.LevelRestore)
		require.NoError(t, err)
		require.Empty(t, v.Problems)
		require.NoError(t, h.Close())
	}
}
