// Package sinktest holds the laws of a sink: what every kind of database that
// snapshots can be restored into must do.
package sinktest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/sink"
)

// Test tries all laws on a kind of database.
func Test(t *testing.T, kind sink.Kind) {
	laws := []struct {
		name string
		try  func(*testing.T, sink.Kind)
	}{
		{"what is read is what was written", readsBack},
		{"a database can be empty", empty},
		{"column families can have any name", anyName},
		{"runs outlive their sink", runsOutlive},
		{"an unfinished run leaves nothing", leavesNothing},
		{"a run needs a column family of the Spec", unknownFamily},
		{"a directory must be empty", vacant},
		{"no database is an error", noDatabase},
		{"reading changes nothing and can be cancelled", readsOnly},
		{"a foreign order is refused or kept", foreignOrder},
		{"a sink that was given up or closed can be given up", abortsTwice},
	}
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) { law.try(t, kind) })
	}
}

// families lists bytewise column families.
func families(names ...string) (spec sink.Spec) {
	for _, name := range names {
		spec.Families = append(spec.Families, sink.Family{Name: name, Comparator: canonical.BytewiseComparator})
	}
	return spec
}

// records are the packed blocks of a run.
type records [][]byte

// count returns a run of n records whose keys begin with a prefix.
func count(prefix string, n int) (r records) {
	for i := range n {
		value := strings.Repeat(fmt.Sprint(i), i%40) // the first is empty
		block := canonical.AppendRecord(nil, fmt.Appendf(nil, "%s%06d", prefix, i), []byte(value))
		if i%7 == 0 {
			r = append(r, nil)
		}
		r[len(r)-1] = append(r[len(r)-1], block...)
	}
	return r
}

// write makes a run and returns its files.
func write(t *testing.T, to sink.Sink, family, dir string, r records) []string {
	t.Helper()
	run, err := to.NewRun(family, dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, run.Close()) }()
	for _, block := range r {
		again := bytes.Clone(block)
		require.NoError(t, run.AddBlock(again))
		clear(again) // it is the caller's
	}
	files, err := run.Finish()
	require.NoError(t, err)
	for _, path := range files {
		require.Equal(t, dir, filepath.Dir(path))
	}
	return files
}

// build makes a database of runs that are given in key order, and returns its
// directory.
func build(t *testing.T, kind sink.Kind, spec sink.Spec, runs map[string][]records) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	to, err := kind.Create(dir, spec)
	require.NoError(t, err)
	defer to.Abort()
	for family, list := range runs {
		files := make([][]string, len(list))
		var writers sync.WaitGroup
		for i, r := range list {
			folder := t.TempDir()
			writers.Go(func() { files[i] = write(t, to, family, folder, r) })
		}
		writers.Wait()
		var all []string
		for _, some := range files {
			all = append(all, some...)
		}
		require.NoError(t, to.Load(family, all))
	}
	require.NoError(t, to.Close())
	return dir
}

// content is what a database holds.
type content map[string]canonical.Sum

// read reads a database and demands that keys ascend.
func read(t *testing.T, kind sink.Kind, dir string) content {
	t.Helper()
	found, last := make(content), make(map[string][]byte)
	err := kind.Read(t.Context(), dir, func(family string, packed []byte) error {
		for key := range canonical.Records(packed) {
			if before, ok := last[family]; ok {
				assert.Less(t, string(before), string(key))
			}
			last[family] = bytes.Clone(key)
		}
		sum := found[family]
		err := sum.AddBlock(packed)
		found[family] = sum
		return err
	})
	require.NoError(t, err)
	return found
}

// without drops the column family that RocksDB always has, unless it was asked
// for.
func (c content) without(spec sink.Spec) content {
	if _, ok := spec.Find("default"); !ok && c["default"].Records == 0 {
		delete(c, "default")
	}
	return c
}

// want is the content that runs make.
func want(t *testing.T, spec sink.Spec, runs map[string][]records) content {
	c := make(content)
	for _, f := range spec.Families {
		var sum canonical.Sum
		for _, r := range runs[f.Name] {
			for _, block := range r {
				require.NoError(t, sum.AddBlock(block))
			}
		}
		c[f.Name] = sum
	}
	return c
}

func readsBack(t *testing.T, kind sink.Kind) {
	spec := families("default", "users", "big", "none")
	odd := records{canonical.AppendRecord(nil, []byte("\x00"), nil)}
	odd = append(odd, canonical.AppendRecord(nil, []byte("\x00\x00"), []byte("\xff\x00\n\"")))
	odd = append(odd, canonical.AppendRecord(nil, []byte("\xff\xfe\xfd"), []byte{0}))
	huge := records{canonical.AppendRecord(nil, []byte("a"), bytes.Repeat([]byte("rocksnap"), 1<<17))}
	huge = append(huge, canonical.AppendRecord(nil, bytes.Repeat([]byte("k"), 20_000), []byte("of a long key")))
	runs := map[string][]records{
		"default": {count("a", 900), count("b", 1), count("c", 3000)},
		"users":   {odd},
		"big":     {huge, count("z", 5), {}},
	}
	dir := build(t, kind, spec, runs)
	assert.Equal(t, want(t, spec, runs), read(t, kind, dir))
}

func empty(t *testing.T, kind sink.Kind) {
	spec := families("default", "users")
	dir := build(t, kind, spec, nil)
	assert.Equal(t, content{"default": {}, "users": {}}, read(t, kind, dir))
	dir = build(t, kind, spec, map[string][]records{"users": {{}}})
	assert.Equal(t, content{"default": {}, "users": {}}, read(t, kind, dir))
}

func anyName(t *testing.T, kind sink.Kind) {
	spec := families("a/b", "..", ".hidden", "%", "%41", "A", "a", "Zoë", "x.jsonl", "two words")
	runs := make(map[string][]records)
	for i, f := range spec.Families {
		runs[f.Name] = []records{count(f.Name, i+1)}
	}
	dir := build(t, kind, spec, runs)
	assert.Equal(t, want(t, spec, runs), read(t, kind, dir).without(spec))
	entries, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is outside of the directory")
}

// runsOutlive loads files that another sink has written, under further names and
// then under their own.
func runsOutlive(t *testing.T, kind sink.Kind) {
	spec, folder := families("default", "users"), t.TempDir()
	runs := map[string][]records{"users": {count("u", 2000)}}
	first, err := kind.Create(filepath.Join(t.TempDir(), "db"), spec)
	require.NoError(t, err)
	files := write(t, first, "users", folder, runs["users"][0])
	require.NotEmpty(t, files)
	first.Abort()
	for round := range 2 {
		names := files
		if round == 0 {
			names = nil
			for i, path := range files {
				names = append(names, filepath.Join(folder, fmt.Sprintf("link-%d%s", i, filepath.Ext(path))))
				require.NoError(t, os.Link(path, names[i]))
			}
		}
		dir := filepath.Join(t.TempDir(), "db")
		to, err := kind.Create(dir, spec)
		require.NoError(t, err)
		require.NoError(t, to.Load("users", names))
		require.NoError(t, to.Close())
		assert.Equal(t, want(t, spec, runs), read(t, kind, dir))
	}
}

func leavesNothing(t *testing.T, kind sink.Kind) {
	to, err := kind.Create(filepath.Join(t.TempDir(), "db"), families("default"))
	require.NoError(t, err)
	defer to.Abort()
	folder := t.TempDir()
	for _, r := range []records{nil, count("k", 100)} {
		run, err := to.NewRun("default", folder)
		require.NoError(t, err)
		for _, block := range r {
			require.NoError(t, run.AddBlock(block))
		}
		require.NoError(t, run.Close())
		require.NoError(t, run.Close(), "again")
		requireEmpty(t, folder)
	}
	assert.Empty(t, write(t, to, "default", folder, nil))
	requireEmpty(t, folder)
}

func requireEmpty(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func unknownFamily(t *testing.T, kind sink.Kind) {
	to, err := kind.Create(filepath.Join(t.TempDir(), "db"), families("default"))
	require.NoError(t, err)
	defer to.Abort()
	_, err = to.NewRun("users", t.TempDir())
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func vacant(t *testing.T, kind sink.Kind) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine"), []byte("precious"), 0o644))
	_, err := kind.Create(dir, families("default"))
	require.ErrorIs(t, err, fs.ErrExist)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func noDatabase(t *testing.T, kind sink.Kind) {
	never := func(string, []byte) error { t.Error("a record"); return nil }
	require.ErrorIs(t, kind.Read(t.Context(), t.TempDir(), never), fs.ErrNotExist)
	require.ErrorIs(t, kind.Read(t.Context(), filepath.Join(t.TempDir(), "absent"), never), fs.ErrNotExist)
}

func readsOnly(t *testing.T, kind sink.Kind) {
	dir := build(t, kind, families("default"), map[string][]records{"default": {count("k", 20_000)}})
	before := tree(t, dir)
	read(t, kind, dir)
	ctx, cancel := context.WithCancel(t.Context())
	err := kind.Read(ctx, dir, func(string, []byte) error { cancel(); return nil })
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, before, tree(t, dir))
}

// tree returns the files of a directory. RocksDB's lock is no part of a database.
func tree(t *testing.T, dir string) map[string]string {
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	}))
	return files
}

func abortsTwice(t *testing.T, kind sink.Kind) {
	for _, end := range []func(sink.Sink){
		func(s sink.Sink) { require.NoError(t, s.Close()) },
		func(s sink.Sink) { s.Abort() },
	} {
		to, err := kind.Create(filepath.Join(t.TempDir(), "db"), families("default"))
		require.NoError(t, err)
		end(to)
		to.Abort()
	}
}

// foreignOrder offers records in an order that only an application knows.
func foreignOrder(t *testing.T, kind sink.Kind) {
	dir := filepath.Join(t.TempDir(), "db")
	to, err := kind.Create(dir, sink.Spec{Families: []sink.Family{{Name: "default", Comparator: "of.an.application"}}})
	if err != nil {
		assert.ErrorContains(t, err, "of.an.application")
		return
	}
	defer to.Abort()
	files := write(t, to, "default", t.TempDir(), records{canonical.AppendRecord(nil, []byte("b"), nil), canonical.AppendRecord(nil, []byte("a"), nil)})
	require.NoError(t, to.Load("default", files))
	require.NoError(t, to.Close())
	var keys []string
	require.NoError(t, kind.Read(t.Context(), dir, func(_ string, packed []byte) error {
		for key := range canonical.Records(packed) {
			keys = append(keys, string(key))
		}
		return nil
	}))
	assert.Equal(t, []string{"b", "a"}, keys)
}
