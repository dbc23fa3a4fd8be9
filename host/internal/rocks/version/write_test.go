package version_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// rewritten writes a set and states that replaying it gives the set again. It
// returns the MANIFEST.
func rewritten(t testing.TB, set *version.Set) []byte {
	t.Helper()
	var manifest bytes.Buffer
	require.NoError(t, version.Write(&manifest, set))
	again, err := version.Replay(bytes.NewReader(manifest.Bytes()), set.Manifest)
	require.NoError(t, err)
	require.EqualValues(t, manifest.Len(), again.ManifestBytes)
	again.ManifestBytes, again.Tail = set.ManifestBytes, set.Tail
	require.Equal(t, withoutCauses(set), again)
	return manifest.Bytes()
}

// withoutCauses leaves out what a MANIFEST that begins anew cannot tell.
func withoutCauses(set *version.Set) *version.Set {
	plain := *set
	plain.Families = slices.Clone(set.Families)
	for i := range plain.Families {
		f := &plain.Families[i]
		f.Tables, f.Blobs = slices.Clone(f.Tables), slices.Clone(f.Blobs)
		for i := range f.Tables {
			f.Tables[i].Cause = version.Cause{}
		}
		for i := range f.Blobs {
			f.Blobs[i].Cause = version.Cause{}
		}
	}
	return &plain
}

// What was written is what a real database said, and RocksDB opens it and finds
// every record, those in the WAL too.
func TestWriteAgreesWithRocksDB(t *testing.T) {
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			d := newDatabase(t, l.tune)
			l.live(d)
			d.write("default", 2000, 7) // stays in the WAL
			want := make(map[string]int)
			for name := range d.families {
				want[name] = count(d, name)
			}
			d.dir = d.checkpoint(1 << 40)
			set, err := version.Read(d.dir)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(d.dir, set.Manifest), rewritten(t, set), 0o600))

			d.reopen()
			for name := range d.families {
				assert.Equal(t, want[name], count(d, name), name)
			}
			agreesWithMetadata(d)
			d.compact("default")
			assert.Equal(t, want["default"], count(d, "default"))
		})
	}
}

func TestWriteManyFiles(t *testing.T) {
	set := version.Set{Manifest: "MANIFEST-000001", NextFile: 1 << 20, LastSequence: 9, Families: []version.Family{{Name: "default"}, {ID: 7, Name: "a"}}, MaxFamily: 7}
	for i := range uint64(2500) {
		f := &set.Families[i%2]
		f.Blobs = append(f.Blobs, version.Blob{Number: 4 * i, Count: 2, Bytes: 3, GarbageCount: 1})
		f.Tables = append(f.Tables, version.Table{
			Number: 4*i + 1, Level: 6, OldestBlob: 4 * i, Size: 5,
			Smallest: version.Key{User: fmt.Appendf(nil, "%08d", i), Seq: 1, Type: 1},
			Largest:  version.Key{User: fmt.Appendf(nil, "%08d", i), Seq: 1<<56 - 1, Type: 15},
		})
	}
	assert.Greater(t, len(rewritten(t, &set)), 2*32<<10)
}

func TestWriteRefuses(t *testing.T) {
	good := version.Set{NextFile: 9, Families: []version.Family{{
		Name: "default", Blobs: []version.Blob{{Number: 3}}, Tables: []version.Table{{Number: 4, OldestBlob: 3}},
	}}}
	require.NoError(t, version.Write(&bytes.Buffer{}, &good))
	for name, spoil := range map[string]func(*version.Set){
		"table above the next file number":     func(s *version.Set) { s.NextFile = 4 },
		"blob file above the next file number": func(s *version.Set) { s.Families[0].Blobs[0].Number = 9 },
		"table with a missing blob file":       func(s *version.Set) { s.Families[0].Blobs = nil },
	} {
		bad := good
		bad.Families = []version.Family{good.Families[0]}
		bad.Families[0].Blobs = slices.Clone(bad.Families[0].Blobs)
		spoil(&bad)
		assert.ErrorIs(t, version.Write(&bytes.Buffer{}, &bad), version.ErrCorrupt, name)
	}
	assert.ErrorIs(t, version.Write(full{}, &good), os.ErrDeadlineExceeded)
}

// full is a writer that fails.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// Appended at whatever place in a block, the number is in force.
func TestEncodeNextFile(t *testing.T) {
	for n := 32<<10 - 60; n < 32<<10; n++ {
		log := frame(start, rec(10000, string(make([]byte, n-50))))
		log = append(log, version.EncodeNextFile(int64(len(log)), 7<<40)...)
		set, err := version.Replay(bytes.NewReader(log), "MANIFEST-000001")
		require.NoError(t, err, n)
		require.Zero(t, set.Tail, n)
		require.EqualValues(t, 7<<40, set.NextFile, n)
	}
}

func TestRange(t *testing.T) {
	table := func(smallest, largest string, exclusive bool) version.Table {
		t := version.Table{Smallest: version.Key{User: []byte(smallest), Seq: 5, Type: 1}, Largest: version.Key{User: []byte(largest), Seq: 3, Type: 1}}
		if exclusive {
			t.Largest.Seq, t.Largest.Type = 1<<56-1, 15
		}
		return t
	}
	bounded := version.Range{Lower: []byte("f"), Upper: []byte("m")}
	for _, c := range []struct {
		r                 version.Range
		table             version.Table
		touches, contains bool
	}{
		{bounded, table("f", "l", false), true, true},
		{bounded, table("f", "m", false), true, false},
		{bounded, table("f", "m", true), true, true},
		{bounded, table("e", "l", false), true, false},
		{bounded, table("a", "f", false), true, false},
		{bounded, table("a", "f", true), false, false},
		{bounded, table("m", "z", false), false, false},
		{bounded, table("a", "z", false), true, false},
		{version.Range{}, table("", "z", false), true, true},
		{version.Range{Lower: []byte("f")}, table("g", "z", false), true, true},
		{version.Range{Lower: []byte("f")}, table("a", "e", false), false, false},
		{version.Range{Upper: []byte("f")}, table("", "e", false), true, true},
		{version.Range{Upper: []byte{}}, table("", "e", false), false, false},
	} {
		assert.Equal(t, c.touches, c.r.Touches(c.table), "%q %q", c.r, c.table.Smallest.User)
		assert.Equal(t, c.contains, c.r.Contains(c.table), "%q %q", c.r, c.table.Smallest.User)
	}
	assert.True(t, table("a", "f", true).Before(table("f", "m", false)))
	assert.False(t, table("a", "f", false).Before(table("f", "m", false)))
	assert.True(t, version.Range{}.Whole())
	assert.False(t, version.Range{Upper: []byte{}}.Whole())
}
