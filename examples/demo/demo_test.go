package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
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

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 3 << 50: "3072.0 TiB"} {
		assert.Equal(t, want, size(bytes))
	}
}
