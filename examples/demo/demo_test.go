package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVerdict(t *testing.T) {
	tests := []struct {
		name           string
		live, restored string
		cell           string
	}{
		{"equal", "aa", "aa", "yes"},
		{"different", "aa", "ab", "NO"},
		{"not restored", "aa", "", "NO"},
		{"no digests at all", "", "", "NO"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			d := &demo{shell: shell{out: &out}, taken: []taken{
				{snapshot{Strategy: "native-full"}, "11", "11"},
				{snapshot{Strategy: "incremental"}, tt.live, tt.restored},
			}}
			d.table()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			assert.True(t, strings.HasSuffix(lines[2], "  "+tt.cell), lines[2])
			assert.Equal(t, tt.cell == "yes", d.verdict() == nil)
		})
	}
}

// Numbers agree with what they count.
func TestCount(t *testing.T) {
	assert.Equal(t, "0 files", count(0, "file"))
	assert.Equal(t, "1 file", count(1, "file"))
	assert.Equal(t, "2 files", count(2, "file"))
}

// The demo shows its own configuration, whatever the environment overrides.
func TestWithoutOverrides(t *testing.T) {
	t.Setenv("ROCKSNAP_SNAPSHOT_STRATEGY", "canonical")
	tool := filepath.Join(t.TempDir(), "tool")
	require.NoError(t, os.WriteFile(tool, []byte("#!/bin/sh\nenv\n"), 0o755))
	answer, err := (&shell{ctx: t.Context(), tool: tool}).output(nil)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "PATH=")
	assert.NotContains(t, string(answer), "ROCKSNAP_")
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 3 << 50: "3072.0 TiB"} {
		assert.Equal(t, want, size(bytes))
	}
}
