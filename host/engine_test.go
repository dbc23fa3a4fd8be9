package host_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/sink/sinktest"
)

// TestSinkLaws tries the laws of a sink on RocksDB.
func TestSinkLaws(t *testing.T) {
	kind, err := host.KindOf(host.RocksDB)
	require.NoError(t, err)
	sinktest.Test(t, kind)
}

// others are the engines beside RocksDB.
var others = []string{"pebble", "bbolt", "jsonl"}

// sizes is a database with empty and with large values.
var sizes = shape{"sizes", rocks.Creation{Families: []string{"empty", "values/of size"}}, func(t *testing.T, db *rocks.DB) {
	put(t, db, "default", 1, 3000)
	for i, size := range []int{0, 1, 1 << 20, 5 << 20, 0} {
		require.NoError(t, db.PutBlock("values/of size", record(fmt.Sprintf("key-%d", i), string(bytes.Repeat([]byte{byte(i)}, size)))))
	}
	require.NoError(t, db.Flush())
}}

// bare is a database without records.
var bare = shape{"bare", rocks.Creation{Families: []string{"empty"}}, func(*testing.T, *rocks.DB) {}}

// TestEngines restores snapshots into every engine: they have the content digest
// of the database.
func TestEngines(t *testing.T) {
	unraced(t)
	for _, shape := range []shape{sizes, shapes[1], bare} {
		path := shape.make(t)
		want := dbtest.Digest(t, path)
		cfg := dbtest.Config(t, path)
		for _, m := range snapshots(t, cfg, "canonical", "native-full") {
			for _, engine := range host.Engines() {
				t.Run(shape.name+" "+m.Strategy.Name+" "+engine, func(t *testing.T) {
					target := filepath.Join(t.TempDir(), "target")
					restored, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{
						Snapshots: []string{m.ID}, Target: target, Engine: engine, Method: host.ByRecords,
					})
					require.NoError(t, err)
					content := digestOf(t, engine, target)
					assert.Equal(t, want, content.Digest)
					assert.Equal(t, content.Records, restored.Records)
					assert.Equal(t, engine, restored.Engine)
					assert.Len(t, content.Families, 1+len(shape.creation.Families), "those without records too")
					requireAlone(t, filepath.Dir(target), "target")
					if engine != host.RocksDB {
						assert.NoFileExists(t, filepath.Join(target, "ROCKSNAP"))
					}
				})
			}
		}
	}
}

func digestOf(t *testing.T, engine, path string) *host.Content {
	t.Helper()
	content, err := host.DigestEngine(t.Context(), engine, path, 2, nil)
	require.NoError(t, err)
	return content
}

// TestEnginesGoOn breaks off a restore at every object: the next one goes on from
// the runs that there are.
func TestEnginesGoOn(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg, native, records := resumable(t, path)
	for _, engine := range others {
		for _, m := range []*host.Manifest{native, records} {
			for n := 2; n <= m.Files; n += 1 + m.Files/4 {
				t.Run(fmt.Sprintf("%s %s %d", engine, m.Kind, n), func(t *testing.T) {
					target, opened := filepath.Join(t.TempDir(), "target"), 0
					o := host.RestoreOptions{Snapshots: []string{m.ID}, Target: target, Engine: engine}
					broken, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Faulty(store(t, cfg), func(c blob.Call) blob.Fault {
						if isObject(c.Verb, c.Name) {
							if opened++; opened == n {
								return blob.Fault{Mode: blob.Cut, At: 10}
							}
						}
						return blob.Fault{}
					})))
					require.NoError(t, err)
					_, err = broken.Restore(t.Context(), o)
					require.ErrorIs(t, err, blob.ErrFault)
					restored, err := repository(t, cfg).Restore(t.Context(), o)
					require.NoError(t, err)
					assert.Positive(t, restored.Resumed)
					assert.Equal(t, m.BytesFull, restored.Bytes+restored.Resumed)
					assert.Equal(t, want, digestOf(t, engine, target).Digest)
				})
			}
		}
	}
}

func TestUnknownEngine(t *testing.T) {
	cfg := dbtest.Config(t, dbtest.New(t, rocks.Creation{}))
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Target: filepath.Join(t.TempDir(), "target"), Engine: "peble"})
	assert.Equal(t, host.CodeUsage, host.CodeOf(err))
	assert.ErrorContains(t, err, `engine "peble" is unknown`)
	assert.Equal(t, "did you mean pebble?", host.HintOf(err))
	_, err = host.DigestEngine(t.Context(), "nothing like it", t.TempDir(), 1, nil)
	assert.Equal(t, "it is rocksdb, pebble, bbolt or jsonl", host.HintOf(err))
}

// TestUnloadable tells what an engine cannot hold.
func TestUnloadable(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) { require.NoError(t, db.PutBlock("default", record("", "of nothing"))) })
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "canonical")
	for _, engine := range host.Engines() {
		target := filepath.Join(t.TempDir(), "target")
		_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target, Engine: engine})
		if engine == "bbolt" {
			require.ErrorContains(t, err, `column family "default" holds an empty key, and bbolt takes none`)
			requireAlone(t, filepath.Dir(target))
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, dbtest.Digest(t, path), digestOf(t, engine, target).Digest)
	}
}

// TestDigestDamage flips bytes of restored databases: that is an error or, where
// the engine has no checksums, another digest.
func TestDigestDamage(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "canonical")
	for _, engine := range others {
		t.Run(engine, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "target")
			_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target, Engine: engine})
			require.NoError(t, err)
			largest := largestFile(t, target)
			text, err := os.ReadFile(largest)
			require.NoError(t, err)
			found := 0
			for at := 0; at < len(text); at += len(text)/40 + 1 {
				damaged := bytes.Clone(text)
				damaged[at] ^= 0x10
				require.NoError(t, os.WriteFile(largest, damaged, 0o644))
				content, err := host.DigestEngine(t.Context(), engine, target, 1, nil)
				if err != nil || content.Digest != want {
					found++
				}
				if at > len(text)/2 {
					continue // bbolt keeps room for more at the end
				}
				require.NoError(t, os.WriteFile(largest, text[:at], 0o644))
				content, err = host.DigestEngine(t.Context(), engine, target, 1, nil)
				assert.True(t, err != nil || content.Digest != want, "cut at %d", at)
			}
			assert.Greater(t, found, 20, "of 40 flips; the others hit what is not in use")
		})
	}
}

func largestFile(t *testing.T, dir string) (path string) {
	var most int64
	require.NoError(t, filepath.WalkDir(dir, func(at string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > most {
			path, most = at, info.Size()
		}
		return err
	}))
	return path
}
