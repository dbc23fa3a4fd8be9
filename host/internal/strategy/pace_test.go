package strategy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPace(t *testing.T) {
	const perSecond = 4 * paceEvery
	now := time.Now()
	var p pace
	for range 4 {
		assert.LessOrEqual(t, p.owed(now, perSecond), time.Duration(0), "the calls of a second are free")
	}
	assert.Equal(t, time.Second/4, p.owed(now, perSecond))
	assert.Equal(t, time.Second/4, p.owed(now.Add(time.Second/4), perSecond))
	for range 4 {
		assert.LessOrEqual(t, p.owed(now.Add(time.Hour), perSecond), time.Duration(0), "more than a second is not saved up")
	}
	assert.Equal(t, time.Second/4, p.owed(now.Add(time.Hour), perSecond))
}

// TestFloodIsSlowedDown lets a guest call the host as fast as it can, for half a
// second and through the grace after it.
func TestFloodIsSlowedDown(t *testing.T) {
	report, _ := lookup("progress")
	flood := calling(report)
	flood.body = append(append([]byte{0x03, 0x40}, flood.body[:len(flood.body)-2]...), 0x0c, 0, 0x0b, 0x41, 0) // loop … br 0 end
	limits := Limits{Snapshot: 500 * time.Millisecond, Grace: 300 * time.Millisecond, Calls: 10_000}
	i, d := newInstanceOf(t, load(t, flood.assemble(), limits)), &double{quiet: true}
	start := time.Now()
	require.Error(t, i.Snapshot(t.Context(), d))
	took := time.Since(start)
	assert.Less(t, took, 2*time.Second, "a sleep ends with the run")
	most := 3 * 10_000 * (1 + took.Seconds()) // without a pace it would be hundreds of thousands; a killed guest runs freely until it is seen to be
	assert.Less(t, float64(d.calls), most)
	assert.Greater(t, d.calls, 10_000, "the burst is let through")
}
