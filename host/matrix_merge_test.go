package host_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// border is a key in the middle of those that dbtest writes.
const border = "key-0000100"

// mergeDeed makes one database of the snapshots of two, each of which has a half of
// what the world's first snapshot holds. They lie in the other repository.
func mergeDeed(calls, changes unit) deed {
	return deed{
		"merge",
		func(t *testing.T, w *world) {
			w.half(t, "left", host.KeyRange{To: []byte(border)})
			w.half(t, "right", host.KeyRange{From: []byte(border)})
		},
		func(ctx context.Context, w *world, _, other blob.Store) error {
			r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(other))
			if err != nil {
				return err
			}
			_, err = r.Restore(ctx, w.merged())
			return err
		},
		func(t *testing.T, w *world, err error) {
			if _, missing := os.Lstat(w.target(restored)); missing != nil {
				require.Error(t, err)
				_, err := w.repository(t, w.other).Restore(t.Context(), w.merged())
				require.NoError(t, err)
			}
			require.Equal(t, w.must[w.of("native-full").ID], dbtest.Digest(t, w.target(restored)))
			requireAlone(t, w.target(""), restored)
			require.NoError(t, os.RemoveAll(w.target(restored)))
		},
		calls, changes,
	}
}

func (w *world) merged() host.RestoreOptions {
	return host.RestoreOptions{Snapshots: []string{"left/latest", "right/latest"}, Target: w.target(restored), Method: host.ByFiles}
}

// half takes a snapshot of a database that has a range of the keys.
func (w *world) half(t *testing.T, name string, keys host.KeyRange) {
	t.Helper()
	own := *w.cfg
	own.Repository.Name, own.Database.Path, own.Snapshot.Strategy = name, filepath.Join(w.folder, name), "native-full"
	_, err := w.repository(t, w.store).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{w.of("native-full").ID}, Target: own.Database.Path, Keys: keys})
	require.NoError(t, err)
	dbtest.Edit(t, own.Database.Path, rocks.Creation{}, func(db *rocks.DB) { require.NoError(t, db.CompactAll()) })
	h, err := host.Open(t.Context(), &own, append(native, host.Offline(), host.WithStore(w.other))...)
	require.NoError(t, err)
	defer h.Close()
	_, err = h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	require.NoError(t, os.RemoveAll(own.Database.Path))
}
