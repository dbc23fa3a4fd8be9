package version_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

func TestReadRefusesABadCurrent(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "",
		"no newline": "MANIFEST-000001",
		"a path":     "../MANIFEST-000001\n",
		"other file": "000001.log\n",
		"endless":    "MANIFEST-000001" + fmt.Sprintf("%0100d\n", 0),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "CURRENT"), []byte(text), 0o600))
			_, err := version.Read(dir)
			assert.ErrorIs(t, err, version.ErrCorrupt)
		})
	}
}

func TestReadReportsMissingFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := version.Read(dir)
	assert.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "CURRENT"), []byte("MANIFEST-000001\n"), 0o600))
	_, err = version.Read(dir)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFileKind(t *testing.T) {
	for name, want := range map[string]struct {
		kind   abi.Kind
		number uint64
		ok     bool
	}{
		"000012.sst":               {abi.KindTable, 12, true},
		"1234567.sst":              {abi.KindTable, 1234567, true},
		"000013.blob":              {abi.KindBlob, 13, true},
		"000014.log":               {abi.KindWAL, 14, true},
		"MANIFEST-000015":          {abi.KindManifest, 15, true},
		"OPTIONS-000016":           {abi.KindOptions, 16, true},
		"CURRENT":                  {abi.KindCurrent, 0, true},
		"OPTIONS-000016.dbtmp":     {},
		"0000012.sst":              {},
		"12.sst":                   {},
		"+00012.sst":               {},
		"000012.ldb":               {},
		"000012":                   {},
		"IDENTITY":                 {},
		"LOCK":                     {},
		"":                         {},
		"99999999999999999999.sst": {}, // above 64 bits
	} {
		kind, number, ok := version.FileKind(name)
		assert.Equal(t, want.kind, kind, name)
		assert.Equal(t, want.number, number, name)
		assert.Equal(t, want.ok, ok, name)
	}
}
