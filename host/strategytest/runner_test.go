package strategytest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A law may end at any point, in any way; what it has set up is undone, and the
// next one can be checked.
func TestRunner(t *testing.T) {
	tests := map[string]struct {
		law  func(t T)
		want []string // beginnings of the failures
	}{
		"holds":    {func(T) {}, nil},
		"fails":    {func(t T) { fail(t, "number %d", 7) }, []string{"number 7"}},
		"goes on":  {func(t T) { t.Errorf("first"); t.Errorf("second") }, []string{"first", "second"}},
		"panics":   {func(T) { panic("out of bounds") }, []string{"panic: out of bounds\n"}},
		"in parts": {func(t T) { part(t, "one", func(t T) { t.FailNow() }); part(t, "two", func(t T) { fail(t, "x") }) }, []string{"two: x"}},
		"cleaning": {func(t T) { t.Cleanup(func() { fail(t, "late") }); fail(t, "early") }, []string{"early", "late"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			folder, undone := t.TempDir(), 0
			failures, _ := (&runner{ctx: t.Context(), folder: folder}).run(func(t T) {
				t.Cleanup(func() { undone++ })
				t.TempDir()
				t.Cleanup(func() { undone++ })
				test.law(t)
			})
			require.Len(t, failures, len(test.want))
			for i, want := range test.want {
				assert.Contains(t, failures[i], want)
			}
			assert.Equal(t, 2, undone)
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}
