package host_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// lentHost opens a database, and a host to which it is lent.
func lentHost(t *testing.T, cfg *config.Config) (*rocks.DB, *host.Host) {
	db, err := rocks.Open(cfg.Database.Path, rocks.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	raw, handles := db.Lend()
	return db, open(t, cfg, append(dbtest.Native(), host.WithDB(raw, handles...))...)
}

// TestPlanChangesNothing plans for databases of all shapes what is then done, and
// touches no file beside the database for it.
func TestPlanChangesNothing(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			db, h := lentHost(t, dbtest.Config(t, shape.make(t)))
			_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
			require.NoError(t, err)
			put(t, db, "default", 3, 200) // which both flush
			var ops []durable.Op
			restore := durable.Intercept(func(op durable.Op, change func() error) error {
				ops = append(ops, op)
				return change()
			})
			p, err := h.Plan(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
			restore()
			require.NoError(t, err)
			assert.Empty(t, ops)
			m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
			require.NoError(t, err)
			assert.Equal(t, outlines(m.Contents), outlines(p.Contents))
			assert.Equal(t, m.BytesNew, p.BytesNew)
			assert.Equal(t, m.BytesReused, p.BytesReused)
		})
	}
}

// outlines lists what there is of each file, and whether it is reused.
func outlines(files []host.File) map[string]string {
	list := make(map[string]string)
	for _, f := range files {
		list[f.Name] = f.Identity
		if f.Reused {
			list[f.Name] += ", reused"
		}
	}
	return list
}

// TestPlanBesideWrites plans while flushes and compactions replace files.
func TestPlanBesideWrites(t *testing.T) {
	db, h := lentHost(t, dbtest.Config(t, shapes[1].make(t)))
	done := make(chan error, 1)
	go func() {
		for seed := range uint64(30) {
			err := db.PutBlock("default", dbtest.Block(seed, 300))
			if err == nil && seed%3 == 2 {
				err = db.CompactAll()
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for plans := 0; ; plans++ {
		p, err := h.Plan(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
		require.NoError(t, err)
		assert.NotEmpty(t, p.Contents)
		select {
		case err := <-done:
			require.NoError(t, err)
			assert.Positive(t, plans)
			return
		default:
		}
	}
}
