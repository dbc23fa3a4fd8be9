package host_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// owners are several databases in one repository that are restored from one
// another's snapshots, in every way to claim these, and prune their own.
type owners struct {
	t      *testing.T
	random *rand.Rand
	base   *config.Config
	list   []*config.Config
	stored []owned
}

// owned is a snapshot that is there, and what it holds.
type owned struct {
	name, id, digest string
}

// TestOwnersAtRandom demands after every removal that each snapshot which is left
// restores to what it held. ROCKSNAP_TEST_OWNERS is the number of seeds.
func TestOwnersAtRandom(t *testing.T) {
	seeds, err := strconv.Atoi(cmp.Or(os.Getenv("ROCKSNAP_TEST_OWNERS"), "3"))
	require.NoError(t, err)
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := &owners{t: t, random: rand.New(rand.NewPCG(uint64(seed), 11))}
			path := dbtest.New(t, rocks.Creation{Families: []string{"orders"}, BlobFiles: seed%2 == 1, MinBlobBytes: 100})
			o.base = dbtest.Config(t, path)
			o.base.Retention.Grace = 0
			o.base.Local.Keep = seed % 3
			o.list = append(o.list, o.base)
			o.write(o.base)
			o.snapshot(o.base)
			for range 25 {
				o.step()
			}
			o.check()
		})
	}
}

func (o *owners) step() {
	cfg := o.list[o.random.IntN(len(o.list))]
	switch n := o.random.IntN(20); {
	case n < 6:
		o.write(cfg)
	case n < 13:
		o.snapshot(cfg)
	case n < 17:
		o.restore(cfg)
	default:
		o.prune(cfg)
	}
}

func (o *owners) write(cfg *config.Config) {
	dbtest.Edit(o.t, cfg.Database.Path, rocks.Creation{}, func(db *rocks.DB) {
		put(o.t, db, []string{"default", "orders"}[o.random.IntN(2)], o.random.Uint64(), 40)
		if o.random.IntN(3) > 0 {
			require.NoError(o.t, db.Flush())
		}
		if o.random.IntN(4) == 0 {
			require.NoError(o.t, db.CompactAll())
		}
	})
}

// snapshot takes one, with packs or without, some as savepoints.
func (o *owners) snapshot(cfg *config.Config) {
	own := *cfg
	own.Snapshot.Strategy = []string{"incremental", "incremental", "native-full", "canonical"}[o.random.IntN(4)]
	own.Repository.Pack = nil
	if o.random.IntN(2) == 0 {
		own.Repository.Pack = &config.Pack{Below: 1 << 20, Into: 32 << 20, MaxSpaceAmplification: 1.5}
	}
	h, err := host.Open(o.t.Context(), &own, append(dbtest.Native(), host.Offline())...)
	require.NoError(o.t, err)
	defer h.Close()
	m, err := h.Snapshot(o.t.Context(), host.SnapshotOptions{Savepoint: o.random.IntN(8) == 0})
	require.NoError(o.t, err)
	require.NoError(o.t, h.Close())
	o.stored = append(o.stored, owned{cfg.Repository.Name, m.ID, dbtest.Digest(o.t, cfg.Database.Path)})
}

// restore goes on, as this owner or as a new one, from some snapshot or a part.
func (o *owners) restore(cfg *config.Config) {
	from := o.stored[o.random.IntN(len(o.stored))]
	options := host.RestoreOptions{
		Snapshots: []string{from.name + "/" + from.id}, Target: filepath.Join(o.t.TempDir(), "db"),
		Claim: []host.Claim{host.ClaimAuto, host.Forked, host.NotClaimed}[o.random.IntN(3)],
	}
	part := o.random.IntN(3) == 0
	if part {
		options.Keys.From = fmt.Appendf(nil, "key-%07d", o.random.IntN(160))
	}
	_, err := repository(o.t, cfg).Restore(o.t.Context(), options)
	require.NoError(o.t, err)
	if !part {
		require.Equal(o.t, from.digest, dbtest.Digest(o.t, options.Target))
	}
	next := *cfg
	next.Database.Path = options.Target
	if len(o.list) < 4 && o.random.IntN(2) == 0 {
		next.Repository.Name = fmt.Sprintf("owner-%d", len(o.list))
		o.list = append(o.list, &next)
		return
	}
	o.list[slices.Index(o.list, cfg)] = &next
}

// prune removes some of an owner's snapshots that nobody pinned, and looks at all
// that are left.
func (o *owners) prune(cfg *config.Config) {
	r := repository(o.t, cfg)
	pins, err := r.Pins(o.t.Context())
	require.NoError(o.t, err)
	for _, s := range slices.Clone(o.stored) {
		pinned := slices.ContainsFunc(pins, func(p host.Pin) bool { return p.Snapshot == s.id })
		if s.name != cfg.Repository.Name || pinned || o.random.IntN(2) == 0 || len(o.stored) == 1 {
			continue
		}
		_, err := r.Prune(o.t.Context(), host.PruneOptions{Remove: []string{s.id}, Sweep: true})
		require.NoError(o.t, err)
		o.stored = slices.DeleteFunc(o.stored, func(have owned) bool { return have == s })
	}
	o.check()
}

func (o *owners) check() {
	for _, s := range o.stored {
		cfg := *o.base
		cfg.Repository.Name = s.name
		require.Contains(o.t, listed(o.t, &cfg), s.id)
		require.Equal(o.t, s.digest, dbtest.Digest(o.t, restore(o.t, &cfg, s.id)), s.id)
	}
}
