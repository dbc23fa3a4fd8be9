package config

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "17": 17, "17B": 17, "64MiB": 64 << 20, "200MB": 200e6, "3KiB": 3072, "3KB": 3000,
		"2GiB": 2 << 30, "2GB": 2e9, "1TiB": 1 << 40, "1TB": 1e12, "9223372036854775807": math.MaxInt64,
	} {
		var s, again Size
		if assert.NoError(t, s.UnmarshalText([]byte(text)), text) {
			assert.Equal(t, want, s, text)
			assert.NoError(t, again.UnmarshalText([]byte(s.String())))
			assert.Equal(t, s, again)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "64 MiB", "64mb", "64M", "64Mi", "1BB", "9223372036854775808", "9007199254740992KiB", "1MiB/s"} {
		var s Size
		assert.Error(t, s.UnmarshalText([]byte(text)), text)
	}
	assert.Equal(t, "1536MiB", Size(1536<<20).String())
	assert.Equal(t, "0B", Size(0).String())
}

func TestRate(t *testing.T) {
	var r Rate
	assert.NoError(t, r.UnmarshalText([]byte("200MiB/s")))
	assert.Equal(t, Rate(200<<20), r)
	assert.Equal(t, "200MiB/s", r.String())
	for _, text := range []string{"", "/s", "200MiB", "200MiB/h", "200Mbit/s"} {
		assert.Error(t, r.UnmarshalText([]byte(text)), text)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]struct {
		length time.Duration
		text   string
	}{
		"0s": {0, "0s"}, "1s": {time.Second, "1s"}, "90s": {90 * time.Second, "1m30s"},
		"1h": {time.Hour, "1h"}, "60m": {time.Hour, "1h"}, "10m": {10 * time.Minute, "10m"},
		"20h": {20 * time.Hour, "20h"}, "72h": {72 * time.Hour, "3d"}, "14d": {14 * day, "14d"},
		"1w": {7 * day, "7d"}, "1y": {365 * day, "365d"}, "1y2w3d4h": {382*day + 4*time.Hour, "382d4h"}, "2w1.5h": {14*day + 90*time.Minute, "14d1h30m"},
		"1d12h": {36 * time.Hour, "1d12h"}, "1h0m5s": {time.Hour + 5*time.Second, "1h0m5s"}, "1.5ms": {1500 * time.Microsecond, "1.5ms"},
	} {
		var d, again Duration
		if assert.NoError(t, d.UnmarshalText([]byte(text)), text) {
			assert.Equal(t, Duration(want.length), d, text)
			assert.Equal(t, want.text, d.String())
			assert.NoError(t, again.UnmarshalText([]byte(d.String())))
			assert.Equal(t, d, again)
		}
	}
	for _, text := range []string{"", "d", "1", "h", "-1h", "+1h", "-1d", "1d-2h", "1h1d", "1 h", "w", "1d2w", "1w1w", "1w1y", "1w-2h", "-1w", "1M", "1mo", "293y", "99999999999y", "106752d", "99999999999d", "2562048h"} {
		var d Duration
		assert.Error(t, d.UnmarshalText([]byte(text)), text)
	}
}

func TestKeyRange(t *testing.T) {
	var r KeyRange
	assert.NoError(t, r.UnmarshalText([]byte("32-63")))
	assert.Equal(t, KeyRange{32, 63}, r)
	assert.Equal(t, "32-63", r.String())
	assert.NoError(t, r.UnmarshalText([]byte("5-5")))
	for _, text := range []string{"", "-", "5", "5-", "-5", "6-5", "0-1-2", "0 - 1", "0-4294967296"} {
		assert.Error(t, r.UnmarshalText([]byte(text)), text)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"strategy", "flush", "preupload", "url"}
	for word, want := range map[string]string{
		"strategy": "strategy", "stratgey": "strategy", "Flush": "flush", "fluhs": "flush", "FLSH": "flush",
		"pre_upload": "preupload", "uri": "url", "colour": "", "": "", "x": "", "é": "",
	} {
		assert.Equal(t, want, nearest(word, names), word)
	}
}
