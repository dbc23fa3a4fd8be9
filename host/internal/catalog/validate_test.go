package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

func TestValidate(t *testing.T) {
	require.NoError(t, manifest().Validate())
	empty := manifest()
	empty.Kind, empty.Contents = KindEmpty, nil
	empty.Files, empty.BytesFull, empty.BytesNew, empty.BytesReused, empty.BytesShared = 0, 0, 0, 0, 0
	require.NoError(t, empty.Validate())

	for want, spoil := range map[string]func(m *Manifest){
		"no UUID":             func(m *Manifest) { m.ID = "1" },
		"database name":       func(m *Manifest) { m.Database = "a/b" },
		`kind "full"`:         func(m *Manifest) { m.Kind = "full" },
		"no name":             func(m *Manifest) { m.Strategy.Name = "" },
		"module digest":       func(m *Manifest) { m.Strategy.Module = "00" },
		"base":                func(m *Manifest) { m.Base = "x" },
		"negative":            func(m *Manifest) { m.BytesNew = -1 },
		"out of id order":     func(m *Manifest) { m.Families = append(m.Families, Family{Name: "b"}) },
		"not in the list":     func(m *Manifest) { m.Contents[0].Family = "ghost" },
		"column family":       func(m *Manifest) { m.Families = append(m.Families, Family{ID: 1, Name: "default"}) },
		"key groups 3-2":      func(m *Manifest) { m.KeyGroups = &KeyGroups{Count: 8, First: 3, Last: 2} },
		"key groups 0-8":      func(m *Manifest) { m.KeyGroups = &KeyGroups{Count: 8, Last: 8} },
		"content digest":      func(m *Manifest) { m.ContentDigest = "?" },
		"there twice":         func(m *Manifest) { m.Contents[1].Name = m.Contents[0].Name },
		"without a base":      func(m *Manifest) { m.Base = "" },
		"plain file name":     func(m *Manifest) { m.Contents[1].Name = "../CURRENT" },
		`"..": name`:          func(m *Manifest) { m.Contents[1].Name = ".." },
		"kind 9":              func(m *Manifest) { m.Contents[1].Kind = 9 },
		"private object":      func(m *Manifest) { m.Contents[0].Scope = abi.ScopePrivate },
		"size is negative":    func(m *Manifest) { m.Contents[1].Size = -7 },
		"level":               func(m *Manifest) { m.Contents[1].Level = -2 },
		"key groups are":      func(m *Manifest) { m.Contents[1].FirstGroup = 1 },
		`digest "0A`:          func(m *Manifest) { m.Contents[1].Digest = strings.ToUpper(m.Contents[1].Digest) },
		"outside of its pack": func(m *Manifest) { m.Contents[1].Segment = &Segment{Offset: 4, Pack: 10} },
		"another than that": func(m *Manifest) {
			m.Contents[0].Segment = &Segment{Pack: 500}
			m.Contents[1].Segment, m.Contents[1].Object = &Segment{Pack: 501}, m.Contents[0].Object
		},
		"object name":           func(m *Manifest) { m.Contents[1].Object = "modules/x.wasm" },
		"3 files":               func(m *Manifest) { m.Files = 3 },
		"108 bytes":             func(m *Manifest) { m.BytesFull++ },
		"8 new bytes":           func(m *Manifest) { m.BytesNew++ },
		"101 reused":            func(m *Manifest) { m.BytesReused++ },
		"101 shared":            func(m *Manifest) { m.BytesShared++ },
		"not UTF-8":             func(m *Manifest) { m.Families[0].Name = "\xff" },
		`"\xfe" is not UTF-8`:   func(m *Manifest) { m.State = map[string][]byte{"\xfe": nil} },
		`"\xfd" is not UTF-8`:   func(m *Manifest) { m.Labels = map[string]string{"a": "\xfd"} },
		"1 records, the files ": func(m *Manifest) { m.Records = 1 },
	} {
		m := manifest()
		spoil(m)
		assert.ErrorContains(t, m.Validate(), want)
	}
}
