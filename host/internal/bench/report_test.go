package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sample(t *testing.T) *Report {
	g := Small(t.TempDir())
	return NewReport(g, []Result{
		{
			Case: Case{Name: "full", About: "all of it", Bars: []Bar{{Of: []string{"cp & <sync>"}, Factor: 0.5}, {Slack: time.Millisecond}, {Of: []string{"absent"}, Factor: 1}}},
			Rows: []Row{row(ours, 10, 20, 30), row("cp & <sync>", 40, 80, 90), {Name: "absent", Missing: "absent is not installed"}},
		},
		{Case: Case{Name: "broken", About: "nothing"}, Err: errors.New("no space left")},
	}, 3, "rocksnap bench --small", "1.0")
}

func TestReport(t *testing.T) {
	r, folder := sample(t), filepath.Join(t.TempDir(), "docs", "bench")
	require.NoError(t, r.Write(folder))
	text, err := os.ReadFile(filepath.Join(folder, "results.json"))
	require.NoError(t, err)
	var doc Report
	require.NoError(t, json.Unmarshal(text, &doc))
	assert.Equal(t, r, &doc)
	assert.Equal(t, Schema, doc.Schema)
	assert.True(t, doc.Small)
	assert.InDelta(t, 4, doc.Cases[0].Contenders[1].Ratio, 1e-9)
	assert.Equal(t, []float64{10, 20, 30}, doc.Cases[0].Contenders[0].RoundsMs)
	assert.Positive(t, doc.Machine.Cores)
	assert.Positive(t, doc.Machine.Memory)
	assert.NotEqual(t, "unknown", doc.Machine.FileSystem)
	assert.Equal(t, "7.8.3", doc.Machine.Versions["RocksDB"])

	table, err := os.ReadFile(filepath.Join(folder, "results.md"))
	require.NoError(t, err)
	for _, line := range []string{
		"| full | >= 2.00 x as fast as cp & <sync> | 4.00 x (3.00 x to 4.00 x) | reached |",
		"| full | <= 1.00 ms | 20.00 ms (10.00 ms to 30.00 ms) | **missed** |",
		"| full | <= 1.00 x absent | absent is not installed | not judged |",
		"| cp & <sync> | 80.00 ms (40.00 ms to 90.00 ms) | 4.00 (3.00 to 4.00) | 80 B | 80.0 MiB |",
		"| absent | absent is not installed |  |  |  |",
		"Failed: no space left",
		"**This was a small run",
	} {
		assert.Contains(t, string(table), line)
	}
}

func TestPlot(t *testing.T) {
	var plot strings.Builder
	sample(t).plot(&plot)
	var texts []string
	bars := 0
	decoder := xml.NewDecoder(strings.NewReader(plot.String()))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "rect" {
				bars++
			}
		case xml.CharData:
			texts = append(texts, string(token))
		}
	}
	assert.Equal(t, 2, bars, "for those that took part")
	assert.Contains(t, texts, "cp & <sync>")
	assert.Contains(t, texts, "80.00 ms, 4.00 x")
	assert.NotContains(t, texts, "broken")
}
