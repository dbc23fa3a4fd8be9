package sink_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/sink"
)

func TestFileName(t *testing.T) {
	for family, file := range map[string]string{
		"default": "default", "a.b-C_1": "a.b-C_1", "": "%", "%": "%25", ".": "%2e", "..": "%2e.", "a/b": "a%2fb", "ü": "%c3%bc", "\x00": "%00",
	} {
		assert.Equal(t, file, sink.FileName(family))
		back, err := sink.FamilyName(file)
		require.NoError(t, err)
		assert.Equal(t, family, back)
	}
	for _, file := range []string{"", ".", "..", "%%", "%2", "%2E", "%61", "a b", "%zz", "a/b"} {
		_, err := sink.FamilyName(file)
		assert.Error(t, err, "%q", file)
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("default")
	f.Add("%2e/..\x00")
	f.Fuzz(func(t *testing.T, name string) {
		file := sink.FileName(name)
		assert.True(t, filepath.IsLocal(file) && filepath.Base(file) == file, "%q is one file name", file)
		back, err := sink.FamilyName(file)
		require.NoError(t, err)
		assert.Equal(t, name, back)
		if family, err := sink.FamilyName(name); err == nil { // as a file name
			assert.Equal(t, name, sink.FileName(family))
		}
	})
}
