package scenarios

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the folder of the whole project.
const root = "../.."

// TestParityNamesItsTests holds the page to the tests: each scenario is there once, in
// order, with a test that exists where it says, or a reason.
func TestParityNamesItsTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "flink-parity.md"))
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.+?) \| (.+?) \|$`).FindAllStringSubmatch(string(page), -1)
	require.Len(t, rows, 76)
	declared := make(map[string]map[string]bool) // tests, by folder
	for i, row := range rows {
		assert.Equal(t, strconv.Itoa(i+1), row[1])
		named := regexp.MustCompile("`(?:([\\w/-]+)\\.)?(Test\\w+)`").FindAllStringSubmatch(row[3], -1)
		if len(named) == 0 {
			assert.True(t, strings.HasPrefix(row[3], "none: "), "%s: neither a test nor a reason", row[2])
		}
		for _, name := range named {
			folder := name[1]
			if folder == "" {
				folder = "host/scenarios"
			}
			if declared[folder] == nil {
				declared[folder] = testsIn(t, folder)
			}
			assert.True(t, declared[folder][name[2]], "scenario %s: %s has no %s", row[1], folder, name[2])
		}
	}
}

// TestScenariosAreInTheTable is the other direction: whatever test of this package says
// of itself that it is a scenario stands in the table.
func TestScenariosAreInTheTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "flink-parity.md"))
	require.NoError(t, err)
	for name := range testsIn(t, "host/scenarios") {
		if name != "TestMain" && name != t.Name() && name != "TestParityNamesItsTests" {
			assert.Contains(t, string(page), "`"+name+"`")
		}
	}
}

// testsIn are the tests in a folder of the project.
func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*_test.go"))
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names[name[1]] = true
		}
	}
	return names
}
