package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// abiDir is package abi, as seen from here.
const abiDir = "../.."

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := generate(abiDir)
	require.NoError(t, err)
	assert.Len(t, files, 5)
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(abiDir, name))
		require.NoError(t, err)
		if string(want) != string(have) {
			t.Errorf("%s is out of date at %q: run go generate ./abi", name, firstDifference(string(want), string(have)))
		}
	}
}

func firstDifference(want, have string) string {
	lines := strings.Split(have, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(lines) || lines[i] != line {
			return line
		}
	}
	return "its end"
}

func TestWriteRepairsFiles(t *testing.T) {
	dir := t.TempDir()
	copyPackage(t, dir)
	for _, name := range []string{"rocksnap_v1.h", "rocksnap_v1.ts"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("stale"), 0o644))
	}
	require.NoError(t, write(dir))
	for _, name := range []string{"rocksnap_v1.h", "rocksnap_v1.ts", specification} {
		want, err := os.ReadFile(filepath.Join(abiDir, name))
		require.NoError(t, err)
		have, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(have), name)
	}
}

// copyPackage copies what the generator reads.
func copyPackage(t *testing.T, dir string) {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(abiDir, "*.go"))
	require.NoError(t, err)
	for _, name := range append(sources, filepath.Join(abiDir, specification)) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o644))
	}
}

func TestEveryRecordIsGenerated(t *testing.T) {
	m := load(t)
	var names []string
	for _, r := range m.Records {
		names = append(names, r.Name)
		assert.NotEmpty(t, r.Doc, r.Name)
	}
	text, err := os.ReadFile(filepath.Join(abiDir, "records.go"))
	require.NoError(t, err)
	union := regexp.MustCompile(`type Record interface \{\s*(.*)\s*\}`).FindSubmatch(text)
	require.NotNil(t, union)
	assert.Equal(t, strings.Split(strings.TrimSpace(string(union[1])), " | "), names)
}

func TestConstantsAreThoseOfTheSource(t *testing.T) {
	values := make(map[string]constantValue)
	for _, g := range load(t).Groups {
		for _, c := range g.Consts {
			assert.NotContains(t, values, c.Name)
			values[c.Name] = c
		}
	}
	for _, e := range abi.Errnos {
		assert.Equal(t, uint64(e.Errno), values[e.Name].Value, e.Name)
		assert.Equal(t, "int32", values[e.Name].Type)
	}
	assert.Equal(t, uint64(abi.Version), values["Version"].Value)
	assert.Equal(t, uint64(abi.PhaseAny), values["PhaseAny"].Value)
	assert.Equal(t, uint64(abi.LevelError), values["LevelError"].Value)
	assert.Equal(t, constantValue{"KindWAL", "uint16", uint64(abi.KindWAL), "write-ahead log"}, values["KindWAL"])
	assert.Equal(t, constantValue{"FileIdentified", "uint16", 4, "has an identity, so later snapshots can recognise it"}, values["FileIdentified"])
	assert.NotContains(t, values, "I32", "describes the table itself")
	assert.NotContains(t, values, "GrantUpload", "no number")
}

func TestConstantNeedsAValue(t *testing.T) {
	dir := t.TempDir()
	text := "package abi\n\nimport \"os\"\n\nconst Flag = os.O_RDWR\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "abi.go"), []byte(text), 0o644))
	_, err := newModel(dir)
	assert.ErrorContains(t, err, "constant Flag has no value")
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"ID": "id", "ABI": "abi", "TimeMs": "time_ms", "FirstGroup": "first_group",
		"KindWAL": "kind_wal", "StreamSpec": "stream_spec", "EINVAL": "einval", "WALSize": "wal_size",
	} {
		assert.Equal(t, want, snake(name))
	}
}

func TestFieldNamesAreUnique(t *testing.T) {
	for _, r := range load(t).Records {
		seen := make(map[string]bool)
		for _, f := range r.Fields {
			assert.Regexp(t, `^[a-z]+(_[a-z]+)*$`, f.Name)
			assert.False(t, seen[f.Name], "%s.%s", r.Name, f.Name)
			seen[f.Name] = true
		}
	}
}

func TestLayoutRefusesPadding(t *testing.T) {
	tests := map[string]struct {
		record any
		text   string
	}{
		"between fields": {struct {
			A uint32 `wire:"a"`
			B uint64 `wire:"b"`
		}{}, "padding before it"},
		"at the end": {struct {
			A uint64 `wire:"a"`
			B uint32 `wire:"b"`
		}{}, "12 bytes of fields in 16"},
		"odd size": {struct {
			A uint32 `wire:"a"`
		}{}, "4 bytes of fields in 4"},
		"undocumented": {struct{ A uint64 }{}, "no wire tag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := layoutOf(reflect.TypeOf(test.record))
			assert.ErrorContains(t, err, test.text)
		})
	}
}

func TestSpecificationNeedsItsMarkers(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(abiDir, specification))
	require.NoError(t, err)
	for _, table := range []string{"exports", "functions", "records", "constants", "errors"} {
		broken := strings.Replace(string(page), "generated: "+table+" ", "generated: other ", 1)
		_, err := load(t).fill([]byte(broken))
		assert.ErrorContains(t, err, "table of "+table)
	}
}

func load(t *testing.T) *model {
	t.Helper()
	m, err := newModel(abiDir)
	require.NoError(t, err)
	return m
}
