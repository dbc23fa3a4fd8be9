package host_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestThreatModelNamesItsTests holds the page to the tests: a section for each
// threat in the order of the table, complete, and no name of a test that is none.
func TestThreatModelNamesItsTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "THREAT-MODEL.md"))
	require.NoError(t, err)
	sections := strings.Split(string(page), "\n## ")[1:]
	require.Len(t, sections, len(threats))
	for n, threat := range threats {
		assert.Contains(t, strings.ToLower(strings.SplitN(sections[n], "\n", 2)[0]), threat.name)
		for _, part := range []string{"Scenario", "Defence", "What remains", "Test"} {
			assert.Regexp(t, `(?m)^- \*\*`+part+`\.\*\* .+`, sections[n], threat.name)
		}
		assert.Contains(t, sections[n], "`TestThreats/"+strings.ReplaceAll(threat.name, " ", "_")+"`")
	}
	declared := testNames(t)
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)").FindAllStringSubmatch(string(page), -1) {
		assert.Contains(t, declared, name[1])
	}
}

// testNames are the tests of the whole tree.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	require.NoError(t, filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range declaration.FindAllStringSubmatch(string(text), -1) {
			names[name[1]] = true
		}
		return err
	}))
	return names
}
