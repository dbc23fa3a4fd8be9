package host_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// networkTime is how long snapshots and a restore may take on any of the networks.
const networkTime = time.Minute

// weather is what happens to a network.
type weather struct {
	name   string
	toxics []storetest.Toxic               // nil to refuse connections
	from   map[string]func(blob.Call) bool // moments at which it begins, by name; nil for before everything
	lasts  time.Duration                   // from then on
	calm   bool                            // no request fails, it is only slow
}

func toxic(kind, stream string, attributes map[string]any) storetest.Toxic {
	return storetest.Toxic{Type: kind, Stream: stream, Attributes: attributes}
}

// both has something happen in both directions.
func both(kind string, attributes map[string]any) []storetest.Toxic {
	return []storetest.Toxic{toxic(kind, "upstream", attributes), toxic(kind, "downstream", attributes)}
}

func one(kind, stream string, attributes map[string]any) []storetest.Toxic {
	return []storetest.Toxic{toxic(kind, stream, attributes)}
}

// fetches recognises the reading of the second object.
func fetches() func(blob.Call) bool {
	seen := 0
	return func(c blob.Call) bool {
		if isObject(c.Verb, c.Name) {
			seen++
			return seen == 2
		}
		return false
	}
}

// commits recognises the creation of a manifest.
func commits() func(blob.Call) bool { return nth(2, "/entries/") }

// uploads recognises the creation of the second object.
func uploads() func(blob.Call) bool { return nth(2, "objects/") }

// TestNetwork takes snapshots of a database, and restores them, over networks that
// are slow or that break.
func TestNetwork(t *testing.T) {
	server := storetest.Versity(t)
	server.Env(t)
	const while = 700 * time.Millisecond
	type begins = map[string]func(blob.Call) bool
	t.Run("storm", func(t *testing.T) {
		t.Parallel()
		bucket := server.NewBucket(t)
		stats := traverse(t, bucket, storm(t, bucket), func(blob.Call) blob.Fault { return blob.Fault{} })
		assert.Greater(t, stats.Retries, int64(40))
		assert.Less(t, stats.Limit, s3.DefaultRequests, "it asks less at once")
	})
	for _, w := range []weather{
		{"latency", one("latency", "downstream", map[string]any{"latency": 200, "jitter": 50}), nil, 0, true},
		{"bandwidth", both("bandwidth", map[string]any{"rate": 200}), nil, 0, true},
		{"slicer", both("slicer", map[string]any{"average_size": 700, "size_variation": 500, "delay": 50}), nil, 0, true},
		{"reset", one("reset_peer", "downstream", map[string]any{"timeout": 50}), begins{"commit": commits(), "upload": uploads(), "fetch": fetches()}, while, false},
		{"answer cut", one("limit_data", "downstream", map[string]any{"bytes": 20}), begins{"commit": commits(), "upload": uploads(), "fetch": fetches()}, while, false},
		{"body cut", one("limit_data", "upstream", map[string]any{"bytes": 900}), begins{"commit": commits(), "upload": uploads()}, while, false},
		{"object cut", one("limit_data", "downstream", map[string]any{"bytes": 3000}), begins{"fetch": fetches()}, while, false},
		{"silence", both("timeout", map[string]any{"timeout": 200}), begins{"commit": commits(), "upload": uploads(), "fetch": fetches()}, while, false},
		{"refusal", nil, begins{"commit": commits(), "upload": uploads(), "fetch": fetches()}, while, false},
	} {
		if w.from == nil {
			w.from = begins{"all the time": nil}
		}
		for moment, from := range w.from {
			t.Run(w.name+", "+moment, func(t *testing.T) {
				t.Parallel()
				w.brave(t, server.NewBucket(t), from)
			})
		}
	}
}

// brave works through the weather, which begins at a moment.
func (w weather) brave(t *testing.T, server storetest.Server, from func(blob.Call) bool) {
	p := storetest.Toxiproxy(t, server)
	strike := func() {
		if w.toxics == nil {
			assert.NoError(t, p.Cut())
		} else {
			assert.NoError(t, p.Poison(w.toxics...))
		}
	}
	if from == nil {
		strike()
		from = func(blob.Call) bool { return false }
	}
	through, err := s3.Open(t.Context(), p.Options())
	require.NoError(t, err)
	heal := time.AfterFunc(networkTime, func() { assert.NoError(t, p.Heal()) })
	defer heal.Stop()
	begun := false
	stats := traverse(t, server, through, func(c blob.Call) blob.Fault {
		if from(c) {
			begun = true
			strike()
			heal.Reset(w.lasts)
		}
		return blob.Fault{}
	})
	if w.calm {
		assert.Zero(t, stats.Retries)
		return
	}
	assert.True(t, begun)
	assert.NotZero(t, stats.Retries, "nothing happened")
}

// traverse takes two snapshots and a restore through a store, and proves on the
// server itself that each was taken exactly once and is whole.
func traverse(t *testing.T, server storetest.Server, through *s3.Store, plan blob.Plan) s3.Stats {
	t.Helper()
	w := newPair(t, site{server.Endpoint, server.Bucket})
	ctx, cancel := context.WithTimeout(t.Context(), networkTime)
	defer cancel()
	faulty := blob.Faulty(through, plan)
	acknowledged := make(map[string]string)
	for i, strategy := range []string{"native-full", "incremental"} {
		dbtest.Fill(t, w.other.Database.Path, "orders", uint64(i), 30)
		w.digest = dbtest.Digest(t, w.other.Database.Path)
		h, err := host.Open(ctx, w.other, append(native, host.Offline(), host.WithStore(faulty))...)
		require.NoError(t, err)
		m, err := h.Snapshot(ctx, host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		require.NoError(t, h.Close())
		acknowledged[m.ID] = w.digest
	}
	r, err := host.OpenRepository(ctx, w.other, host.WithStore(faulty))
	require.NoError(t, err)
	restored, err := r.Restore(ctx, host.RestoreOptions{Snapshots: []string{"latest"}, Target: filepath.Join(t.TempDir(), "restored")})
	require.NoError(t, err)
	assert.Equal(t, w.digest, dbtest.Digest(t, restored.Target))

	w.requireKept(t, acknowledged)
	assert.Len(t, names(t, w.store, "db/db/entries/"), 4, "two epochs, and each snapshot in one slot")
	assert.ElementsMatch(t, referenced(t, w.repository(t)), names(t, w.store, "objects/"), "nothing was stored twice")
	for _, folder := range []string{"intents/", "notes/", "pins/"} {
		assert.Empty(t, names(t, w.store, "db/db/"+folder))
	}
	return through.Stats()
}

// storm has a server say, of every second request, that it is asked too much.
func storm(t *testing.T, server storetest.Server) *s3.Store {
	t.Helper()
	behind, err := url.Parse(server.Endpoint)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host // it is signed
	}}
	var asked atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%2 == 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // as a server does that keeps the connection
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
	}))
	t.Cleanup(front.Close)
	o := server.Options()
	o.Endpoint = front.URL
	through, err := s3.Open(t.Context(), o)
	require.NoError(t, err)
	return through
}
