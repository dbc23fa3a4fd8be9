package host_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// everything makes a repository with every sort of file that one can hold: a
// snapshot by each strategy, epochs, a removal, a pin, and the intent and the note
// of a session that was killed.
func everything(t *testing.T) (*config.Config, []*host.Manifest) {
	t.Helper()
	cfg := dbtest.Config(t, shapes[2].make(t))
	cfg.Retention.Grace = 0
	list := snapshots(t, cfg, append([]string{"native-full"}, dbtest.Builtin...)...)
	list = append(list, increment(t, cfg, "increment"))
	r := repository(t, cfg)
	_, err := r.Prune(t.Context(), host.PruneOptions{Remove: []string{list[0].ID}})
	require.NoError(t, err)
	_, err = r.Pin(t.Context(), list[1].ID, "before the audit")
	require.NoError(t, err)
	announce(t, cfg)
	return cfg, list[1:]
}

// flipper damages the files of a repository, one at a time, and looks whether the
// level that promises it finds it. They are in memory, and in a store that says
// nothing of checksums.
type flipper struct {
	store *mem.Store
	list  []*host.Manifest
	r     *host.Repository
	files map[string][]byte
}

func newFlipper(t *testing.T) *flipper {
	cfg, list := everything(t)
	f := &flipper{store: mem.New(), list: list, files: make(map[string][]byte)}
	for _, file := range files(t, cfg) {
		text, err := os.ReadFile(filepath.Join(cfg.Repository.Dir(), filepath.FromSlash(file)))
		require.NoError(t, err)
		f.files[file] = text
		require.NoError(t, f.store.Create(t.Context(), file, bytes.NewReader(text)))
	}
	f.r = openRepository(t, cfg, host.WithStore(silent{f.store}))
	return f
}

// silent is a store that knows no checksums.
type silent struct{ blob.Store }

func (s silent) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := s.Store.Stat(ctx, name)
	info.CRC32C = nil
	return info, err
}

// put gives a file other bytes; nil removes it.
func (f *flipper) put(t *testing.T, file string, text []byte) {
	require.NoError(t, f.store.Delete(t.Context(), file))
	if text != nil {
		require.NoError(t, f.store.Create(t.Context(), file, bytes.NewReader(text)))
	}
}

// names says for which snapshots a file is read at which level. No snapshots stand
// for the whole catalog.
func (f *flipper) names(file string) (host.Level, []string) {
	switch {
	case file == "format.json", strings.HasPrefix(file, "db/"):
		return host.LevelCatalog, nil
	case strings.HasPrefix(file, "modules/"):
		i := slices.IndexFunc(f.list, func(m *host.Manifest) bool { return strings.Contains(file, m.Strategy.Module) })
		return host.LevelData, []string{f.list[i].ID}
	}
	i := slices.IndexFunc(f.list, func(m *host.Manifest) bool {
		return slices.ContainsFunc(m.Contents, func(c host.File) bool { return c.Object == file })
	})
	return host.LevelData, []string{f.list[i].ID}
}

// isSlow says whether to look at a file means to read a module, too.
func (f *flipper) isSlow(file string) bool {
	_, named := f.names(file)
	return slices.ContainsFunc(f.list, func(m *host.Manifest) bool { return slices.Contains(named, m.ID) && m.Strategy.Module != "" })
}

// isFound demands that a damaged file is found at a level.
func (f *flipper) isFound(t *testing.T, file string, level host.Level, damage string) {
	_, named := f.names(file)
	v, err := f.r.Verify(t.Context(), host.VerifyOptions{Level: level, Snapshots: named})
	require.NoError(t, err, "%s: %s", file, damage)
	require.True(t, slices.ContainsFunc(v.Problems, func(p host.Finding) bool { return p.Object == file }),
		"%s: %s at level %s: found %v", file, damage, level, v.Problems)
}

// positions lists which bytes of a file are flipped: every byte of a small one, the
// first ones of another, which of an entry are its header, and some of the rest;
// few where each look reads a module, which takes a while.
func positions(random *rand.Rand, size int, slow bool) []int {
	const small, header = 512, 84
	every, some := header, 40
	switch {
	case slow:
		every, some = 0, 4
	case size <= small:
		every, some = size, 0
	}
	list := []int{0, size - 1}
	for i := random.IntN(flipEach); i < every; i += flipEach {
		list = append(list, i)
	}
	for range some {
		list = append(list, random.IntN(size))
	}
	return list
}

// TestFlipAnyByte flips bytes of every file, and makes it shorter, longer and
// absent.
func TestFlipAnyByte(t *testing.T) {
	unraced(t)
	f := newFlipper(t)
	require.Empty(t, verify(t, f.r, host.VerifyOptions{Level: host.LevelRestore}).Problems)
	random := rand.New(rand.NewPCG(1, 2))
	sorts := make(map[string]int)
	for _, file := range slices.Sorted(maps.Keys(f.files)) {
		folder, _, _ := strings.Cut(file, "/")
		if folder == "db" {
			folder = strings.Split(file, "/")[2]
		}
		sorts[folder]++
		text := slices.Clone(f.files[file])
		level, _ := f.names(file)
		for _, at := range positions(random, len(text), f.isSlow(file)) {
			bit := byte(1) << random.IntN(8)
			text[at] ^= bit
			f.put(t, file, text)
			f.isFound(t, file, level, fmt.Sprintf("bit %#x of byte %d", bit, at))
			text[at] ^= bit
		}
		f.resize(t, file, text)
		f.put(t, file, text)
	}
	assert.Empty(t, verify(t, f.r, host.VerifyOptions{Level: host.LevelRestore}).Problems, "all is as it was")
	for _, sort := range []string{"format.json", "entries", "intents", "notes", "pins", "objects", "modules"} {
		assert.NotZero(t, sorts[sort], sort)
	}
	assert.Len(t, sorts, 7, "no sort of file was forgotten: %v", sorts)
}

// resize changes the size of a file, and removes it. For data the store's word is
// enough to find that; a module has no size on record.
func (f *flipper) resize(t *testing.T, file string, text []byte) {
	gone, _ := f.names(file)
	resized := gone
	if gone == host.LevelData {
		gone = host.LevelObjects
	}
	if strings.HasPrefix(file, "objects/") {
		resized = gone
	}
	f.put(t, file, text[:len(text)-1])
	f.isFound(t, file, resized, "one byte less")
	f.put(t, file, append(slices.Clone(text), 0))
	f.isFound(t, file, resized, "one byte more")
	f.put(t, file, []byte{})
	f.isFound(t, file, resized, "nothing")
	f.put(t, file, nil)
	if f.isMissed(file) {
		f.isFound(t, file, gone, "removed")
	}
}

// isMissed says whether anything but the file itself says that it was there. An
// intent, a note and a pin are removed every day; of the history, the end is known
// to those who have seen it, as TestVerifySeen shows.
func (f *flipper) isMissed(file string) bool {
	folder, name := filepath.Split(file)
	switch filepath.Base(folder) {
	case "intents", "notes", "pins":
		return false
	case "entries":
		for other := range f.files {
			if strings.HasPrefix(other, folder) && filepath.Base(other) > name {
				return true
			}
		}
		return false
	}
	return true
}
