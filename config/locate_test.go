package config

import (
	"fmt"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLocate(t *testing.T) {
	text := `# [no] key = here
a = 1 # z = 2
  b . c = "x = 1 # \" ]"
d = '''
q = 1
'''''
e = [ [ 1, 2 ], # x = 1
  { f = "}", "g h" = [ { i = 2026-01-01 01:02:03 } ] } ]
[ t . "dotted.name" ]
j = """\"""" # k = 1
'l' = true
[[u]]
m = 1
[[u]]
m = 2
n = -inf
`
	_, err := toml.Decode(text, new(map[string]any))
	require.NoError(t, err)
	got := make(map[string]string)
	for key, offset := range locate(text) {
		at := placeAt(text, offset)
		got[key] = fmt.Sprintf("%d:%d", at.line, at.column)
	}
	assert.Equal(t, map[string]string{
		"a": "2:1", "b": "3:3", "b.c": "3:3", "d": "4:1", "e": "7:1",
		"e.f": "8:5", `e."g h"`: "8:14", `e."g h".i`: "8:26",
		"t": "9:3", `t."dotted.name"`: "9:3", `t."dotted.name".j`: "10:1", `t."dotted.name".l`: "11:1",
		"u": "12:3", "u.m": "13:1", "u.n": "16:1",
	}, got)
}

// FuzzLocate checks that the scanner finds every key of every valid document,
// and comes to an end in any other.
func FuzzLocate(f *testing.F) {
	f.Add("a.b = 1\n[c]\nd = { e = [1, { f = 2 }] }\n")
	f.Add("\"x\\u0041\" = '''\n'''\n[[t]]\nu = \"\"\"a\"\"\"\"\n")
	f.Add("\"\\e\\x41\" = 1\n'\\e' = 2\n")
	f.Add("a = [ # x\n1,\n]\nb = 1979-05-27 07:32:00Z\n")
	f.Fuzz(func(t *testing.T, text string) {
		found := locate(text)
		if _, err := decode(text); err != nil {
			return
		}
		meta, err := toml.Decode(text, new(map[string]any))
		require.NoError(t, err)
		for _, key := range meta.Keys() {
			assert.Contains(t, found, key.String())
		}
	})
}
