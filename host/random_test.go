package host_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// model is what a database should hold: records by column family.
type model map[string]map[string]string

func (m model) clone() model {
	c := make(model)
	for family, records := range m {
		c[family] = maps.Clone(records)
	}
	return c
}

// walk does random things to a database and to a model of it.
type walk struct {
	t       *testing.T
	random  *rand.Rand
	cfg     *config.Config
	app     *application
	host    *host.Host
	model   model
	history map[string]model // snapshot -> what it should hold
	ids     []string
}

// TestRandomWalk mixes writes, deletions, flushes, compactions, snapshots and
// restores, and goes on from restored databases.
func TestRandomWalk(t *testing.T) {
	unraced(t)
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			w := &walk{
				t: t, random: rand.New(rand.NewPCG(seed, 3)), history: make(map[string]model),
				model: model{"default": {}, "orders": {}}, cfg: dbtest.Config(t, path),
			}
			w.start()
			for range 40 {
				w.step()
			}
			w.stop()
			require.EqualValues(t, w.model, contents(t, w.cfg.Database.Path))
			for _, id := range w.ids {
				require.EqualValues(t, w.history[id], contents(t, restore(t, w.cfg, id)))
			}
		})
	}
}

func (w *walk) start() {
	w.app = launch(w.t, w.cfg.Database.Path, "default", "orders")
	w.host = open(w.t, w.cfg, w.app.lend())
}

func (w *walk) stop() {
	require.NoError(w.t, w.host.Close())
	w.app.quit()
}

func (w *walk) step() {
	switch n := w.random.IntN(20); {
	case n < 7:
		w.put()
	case n < 9:
		w.deleteSome()
	case n < 10:
		w.deleteRange()
	case n < 12:
		w.flush()
	case n < 13:
		for _, h := range w.app.families {
			w.app.db.CompactRangeCF(h, grocksdb.Range{})
		}
	case n < 18:
		w.snapshot()
	case len(w.ids) > 0:
		w.moveOn()
	}
}

func (w *walk) family() (string, *grocksdb.ColumnFamilyHandle) {
	name := []string{"default", "orders"}[w.random.IntN(2)]
	return name, w.app.families[name]
}

func (w *walk) key() string { return fmt.Sprintf("%03d", w.random.IntN(500)) }

func (w *walk) put() {
	name, h := w.family()
	for range 1 + w.random.IntN(100) {
		key, value := w.key(), strings.Repeat(w.key(), w.random.IntN(60))
		require.NoError(w.t, w.app.db.PutCF(w.app.write, h, []byte(key), []byte(value)))
		w.model[name][key] = value
	}
}

func (w *walk) deleteSome() {
	name, h := w.family()
	for range w.random.IntN(200) {
		key := w.key()
		require.NoError(w.t, w.app.db.DeleteCF(w.app.write, h, []byte(key)))
		delete(w.model[name], key)
	}
}

func (w *walk) deleteRange() {
	name, h := w.family()
	from, to := w.key(), w.key()
	from, to = min(from, to), max(from, to)
	require.NoError(w.t, w.app.db.DeleteRangeCF(w.app.write, h, []byte(from), []byte(to)))
	maps.DeleteFunc(w.model[name], func(key, _ string) bool { return from <= key && key < to })
}

func (w *walk) flush() {
	_, h := w.family()
	o := grocksdb.NewDefaultFlushOptions()
	defer o.Destroy()
	require.NoError(w.t, w.app.db.FlushCF(h, o))
}

func (w *walk) snapshot() {
	strategy := dbtest.Builtin[w.random.IntN(3)]
	op, err := w.host.Begin(w.t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(w.t, err)
	instant := w.model.clone()
	w.put() // after the instant: must stay invisible
	m, err := op.Wait()
	require.NoError(w.t, err)
	w.ids, w.history[m.ID] = append(w.ids, m.ID), instant
}

// moveOn restores some snapshot and goes on from it.
func (w *walk) moveOn() {
	id := w.ids[w.random.IntN(len(w.ids))]
	w.stop()
	path := restore(w.t, w.cfg, id)
	w.model = w.history[id].clone()
	require.EqualValues(w.t, w.model, contents(w.t, path))
	w.cfg = at(w.cfg, path)
	w.start()
}
