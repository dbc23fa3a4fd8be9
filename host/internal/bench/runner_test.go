package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRunTakesTurns(t *testing.T) {
	var order []string
	one := func(name string) Contender {
		return Contender{
			Name:   name,
			Before: func(context.Context) error { order = append(order, "before "+name); return nil },
			Run: func(context.Context) (Measure, error) {
				order = append(order, name)
				return Measure{Took: time.Duration(len(order))}, nil
			},
		}
	}
	c := Case{Name: "turns", Contenders: func(context.Context, *Ground) ([]Contender, error) {
		return []Contender{one("a"), {Name: "absent", Missing: "is not installed"}, one("b")}, nil
	}}
	results, err := Run(t.Context(), Small(t.TempDir()), []Case{c}, 2, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"before a", "a", "before b", "b", // which nobody records
		"before b", "b", "before a", "a",
		"before a", "a", "before b", "b",
	}, order)
	rows := results[0].Rows
	assert.Equal(t, []Measure{{Took: 8}, {Took: 10}}, rows[0].Rounds)
	assert.Empty(t, rows[1].Rounds)
	assert.Equal(t, "is not installed", rows[1].Missing)
	assert.Equal(t, []Measure{{Took: 6}, {Took: 12}}, rows[2].Rounds)
}

// A case that fails leaves nothing and is named; the others run.
func TestRunGoesOn(t *testing.T) {
	g, broken := Small(t.TempDir()), errors.New("broken")
	fine := Case{Name: "fine", Contenders: func(context.Context, *Ground) ([]Contender, error) {
		return []Contender{{Name: ours, Run: func(context.Context) (Measure, error) { return Measure{Took: 1}, nil }}}, nil
	}}
	fails := Case{Name: "fails", Bars: []Bar{{Slack: time.Hour}}, Contenders: func(_ context.Context, g *Ground) ([]Contender, error) {
		folder, err := g.folder("left")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "file"), nil, 0o600))
		return []Contender{{Name: ours, Run: func(context.Context) (Measure, error) { return Measure{}, broken }}}, nil
	}}
	results, err := Run(t.Context(), g, []Case{fails, fine}, 1, nil)
	assert.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "bench fails: rocksnap: broken")
	assert.ErrorIs(t, results[0].Err, broken)
	assert.Empty(t, results[0].Rows)
	assert.Len(t, results[1].Rows[0].Rounds, 1)
	left, err := os.ReadDir(g.Dir)
	assert.NoError(t, err)
	assert.Empty(t, left)
}

func TestRunIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	c := Case{Name: "cancelled", Contenders: func(context.Context, *Ground) ([]Contender, error) {
		return []Contender{{Name: ours, Run: func(context.Context) (Measure, error) { runs++; cancel(); return Measure{}, nil }}}, nil
	}}
	results, err := Run(ctx, Small(t.TempDir()), []Case{c, c}, 5, nil)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, runs)
	assert.Len(t, results, 1)
}
