package host_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/testdata/listener"
)

// audience is a host with a strategy that says what it hears, natively or as a
// module.
type audience struct {
	*host.Host
	t    testing.TB
	text bytes.Buffer
	mu   sync.Mutex // guards text
}

func (a *audience) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(line)
}

var hears = regexp.MustCompile(`msg="hears (\w+ \d+)"`)

// heard returns what was heard since the last call.
func (a *audience) heard() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []string{}
	for _, found := range hears.FindAllStringSubmatch(a.text.String(), -1) {
		list = append(list, found[1])
	}
	a.text.Reset()
	return list
}

// take takes a snapshot with the listener and returns its slot.
func (a *audience) take() uint64 {
	a.t.Helper()
	m, err := a.Snapshot(a.t.Context(), host.SnapshotOptions{Strategy: "listener"})
	require.NoError(a.t, err)
	return m.Slot
}

func (a *audience) close() { require.NoError(a.t, a.Host.Close()) }

// listeners are the places where the listener runs. Each returns the lines of the
// configuration that it takes, and options.
var listeners = map[string]func(t testing.TB, options string) (lines string, native []host.Option){
	"native": func(_ testing.TB, options string) (string, []host.Option) {
		return "[strategies.listener]\nmodule = \"none.wasm\"\n[strategies.listener.config]\n" + options,
			[]host.Option{host.WithStrategy("listener", func() abi.Strategy { return &listener.Strategy{} })}
	},
	"module": func(t testing.TB, options string) (string, []host.Option) {
		control := "30s"
		if strings.Contains(options, "loop") {
			control = "1s" // in which it must also start
		}
		return fmt.Sprintf("[strategies.listener]\nmodule = %q\nallow_unpinned = true\nallow = [\"checkpoint\", \"upload\", \"reuse\"]\n"+
			"limits = { control = %q, grace = \"100ms\" }\n[strategies.listener.config]\n%s",
			dbtest.Build(t, "github.com/rocksnap/rocksnap/host/testdata/listener/module"), control, options), nil
	},
}

// theatre is a database with a repository, where hosts come and go.
type theatre struct {
	t    testing.TB
	kind string
	cfg  *config.Config
}

func newTheatre(t *testing.T, kind string, more ...string) *theatre {
	lines, _ := listeners[kind](t, "")
	return &theatre{t, kind, dbtest.Config(t, shapes[0].make(t), append(more, lines)...)}
}

// open opens a host whose listener has the given options.
func (w *theatre) open(options string) *audience {
	w.t.Helper()
	lines, native := listeners[w.kind](w.t, options)
	text, err := os.ReadFile(w.cfg.Path)
	require.NoError(w.t, err)
	before, _, _ := bytes.Cut(text, []byte("[strategies.listener]"))
	require.NoError(w.t, os.WriteFile(w.cfg.Path, append(before, lines...), 0o600))
	cfg, err := config.Load(w.cfg.Path)
	require.NoError(w.t, err)
	a := &audience{t: w.t}
	a.Host = open(w.t, cfg, append(native, host.Offline(), host.WithLogger(slog.New(slog.NewTextHandler(a, nil))))...)
	return a
}

// remove has another process prune a snapshot.
func (w *theatre) remove(slot uint64) {
	w.t.Helper()
	r := repository(w.t, w.cfg)
	list, err := r.List(w.t.Context())
	require.NoError(w.t, err)
	i := slices.IndexFunc(list, func(s host.Summary) bool { return s.Slot == slot })
	_, err = r.Prune(w.t.Context(), host.PruneOptions{Remove: []string{list[i].ID}})
	require.NoError(w.t, err)
}

func complete(slot uint64) string { return fmt.Sprintf("complete %d", slot) }
func subsumed(slot uint64) string { return fmt.Sprintf("subsumed %d", slot) }

const aborted = "aborted 0"

// inBothPlaces runs a test with the listener natively and as a module.
func inBothPlaces(t *testing.T, test func(t *testing.T, w *theatre)) {
	for kind := range listeners {
		t.Run(kind, func(t *testing.T) { test(t, newTheatre(t, kind)) })
	}
}

// TestNotifications follows a strategy through the life of two hosts.
func TestNotifications(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, w *theatre) {
		first := w.open("")
		one, two := first.take(), first.take()
		assert.Equal(t, []string{complete(one), complete(two)}, first.heard(), "nothing but its own")
		w.remove(one)
		three := first.take()
		assert.Equal(t, []string{subsumed(one), complete(three)}, first.heard())
		four := first.take()
		assert.Equal(t, []string{complete(four)}, first.heard(), "nothing twice while the host lives")
		first.close()

		w.remove(two)
		w.remove(three)
		second := w.open("")
		five := second.take()
		assert.Equal(t, []string{complete(four), subsumed(two), subsumed(three), complete(five)}, second.heard())
		second.close()

		third := w.open("")
		defer third.close()
		six := third.take()
		assert.Equal(t, []string{complete(five), complete(six)}, third.heard(), "the catalog has forgotten what was told")
		_, err := third.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
		require.NoError(t, err)
		assert.Empty(t, third.heard(), "another strategy's are none of its own")
	})
}

// TestNotifiedUntilCommitted tells what is gone until a snapshot has come of it.
func TestNotifiedUntilCommitted(t *testing.T) {
	unraced(t)
	inBothPlaces(t, func(t *testing.T, w *theatre) {
		first := w.open("")
		one, two := first.take(), first.take()
		first.close()
		w.remove(one)
		for range 2 {
			failing := w.open("fail = true")
			_, err := failing.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "listener"})
			require.Error(t, err)
			list := failing.heard()
			assert.Contains(t, list, complete(two))
			assert.Contains(t, list, subsumed(one))
			assert.Equal(t, aborted, list[len(list)-1])
			_, err = failing.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "listener"})
			require.Error(t, err)
			assert.Equal(t, []string{aborted}, failing.heard(), "of this run; the rest was told")
			failing.close()
		}
		last := w.open("")
		defer last.close()
		three := last.take()
		assert.Equal(t, []string{aborted, complete(two), subsumed(one), complete(three)}, last.heard())
	})
}

// TestNotifyGoesWrong in every way: the snapshot is as good as any, and the strategy
// hears something new each time.
func TestNotifyGoesWrong(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, w *theatre) {
		for _, how := range map[string][]string{"native": {"fail"}, "module": {"fail", "panic"}}[w.kind] {
			first := w.open("")
			slots := []uint64{first.take(), first.take(), first.take()}
			first.close()
			w.remove(slots[0])
			w.remove(slots[1])
			deaf := w.open(fmt.Sprintf("wrong = %q", how))
			want := map[string]bool{complete(slots[2]): true, subsumed(slots[0]): true, subsumed(slots[1]): true}
			told := make(map[string]bool)
			for range want {
				want[complete(deaf.take())] = true
				for _, n := range deaf.heard() {
					told[n] = true
				}
			}
			assert.Equal(t, want, told, how)
			deaf.close()
			assert.Equal(t, dbtest.Digest(t, w.cfg.Database.Path), dbtest.Digest(t, restore(t, w.cfg, "latest")))
		}
	})
}

// TestNotifyHangs holds up a snapshot for no longer than the limit, once for each
// notification.
func TestNotifyHangs(t *testing.T) {
	w := newTheatre(t, "module")
	first := w.open("")
	one := first.take()
	first.close()
	hanging := w.open("wrong = \"loop\"")
	defer hanging.close()
	two := hanging.take()
	assert.Equal(t, []string{complete(one), complete(two)}, hanging.heard())
}

// TestKilledBeforeItWasTold kills the host between the commit and the notification,
// of two snapshots at once, and in the middle of one.
func TestKilledBeforeItWasTold(t *testing.T) {
	unraced(t)
	w := newTheatre(t, "module", keepOne)
	lines := kill(t, w.cfg, 2*time.Second, "mute", "2")
	require.Len(t, lines, 2)
	for _, folder := range kept(t, w.cfg.Database.Path) {
		assert.Contains(t, folder, "checkpoint-", "nothing was kept yet either")
	}
	restored, _ := goOn(t, w.cfg, "latest", filepath.Join(t.TempDir(), "restored"))
	assert.Zero(t, restored.Local)
	next := w.open("")
	assert.Empty(t, kept(t, w.cfg.Database.Path))
	slot := next.take()
	list := next.heard()
	assert.ElementsMatch(t, []string{"complete " + lines[0], "complete " + lines[1], complete(slot)}, list)
	next.close()

	require.Equal(t, []string{"stored"}, kill(t, w.cfg, 2*time.Second, "mute", "0"))
	last := w.open("")
	defer last.close()
	_, err := last.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
	require.NoError(t, err, "another strategy, which adopts what was left")
	assert.Empty(t, last.heard())
	again := last.take()
	assert.ElementsMatch(t, []string{aborted, complete(slot), complete(again)}, last.heard())
}

// TestForkHearsNothingOfItsOrigin kills a host before its strategy was told, and goes
// on with a fork in the place of the database: what was committed is of another
// history, which the fork's strategy knows nothing of.
func TestForkHearsNothingOfItsOrigin(t *testing.T) {
	unraced(t)
	w := newTheatre(t, "module")
	require.Len(t, kill(t, w.cfg, 2*time.Second, "mute", "1"), 1)
	lose(t, w.cfg.Database.Path)
	_, err := repository(t, w.cfg).Restore(t.Context(), host.RestoreOptions{Target: w.cfg.Database.Path, Claim: host.Forked})
	require.NoError(t, err)
	fork := w.open("")
	defer fork.close()
	slot := fork.take()
	assert.Equal(t, []string{complete(slot)}, fork.heard())
}

// mute is a listener that says on standard output how far it has come, and goes no
// further.
type mute struct {
	listener.Strategy
	committing bool
}

func (m *mute) Snapshot(ctx context.Context, s abi.Session) error {
	err := m.Strategy.Snapshot(ctx, s)
	if err == nil && !m.committing {
		fmt.Println("stored")
		select {}
	}
	return err
}

func (m *mute) Notify(_ context.Context, _ abi.Session, n abi.Notification) error {
	if !m.committing {
		return nil
	}
	fmt.Println(n.Slot)
	select {}
}

// mutes takes some snapshots at once of which the strategy is never told, or one
// that is never committed.
func mutes(ctx context.Context, cfg *config.Config, cache string, count int) error {
	h, err := host.Open(ctx, cfg, host.Offline(), host.WithModuleCache(cache),
		host.WithStrategy("listener", func() abi.Strategy { return &mute{committing: count > 0} }))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for range max(count, 1) {
		if _, err := h.Begin(ctx, host.SnapshotOptions{Strategy: "listener"}); err != nil {
			return err
		}
	}
	select {}
}

// TestDeafStrategies are not disturbed: once it is known, nobody starts an instance
// to tell them.
func TestDeafStrategies(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	for i := range 3 {
		m := snapshot(t, cfg, "incremental")
		assert.Equal(t, i > 0, m.Deaf, i)
		assert.Empty(t, m.Known)
	}
	opened := 0
	option := host.WithStrategy("incremental", func() abi.Strategy { opened++; return dbtest.Files{} })
	for i, want := range []int{2, 3} {
		h := open(t, cfg, host.Offline(), option)
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
		require.NoError(t, err)
		require.NoError(t, h.Close())
		assert.True(t, m.Deaf)
		assert.Equal(t, want, opened, "one for each snapshot, and the first time one to ask: %d", i)
	}
}

// TestNotificationsAtRandom has hosts come and go, snapshots be taken, fail and be
// removed, in any order. In the end the strategy has heard of every fate, and of none
// that was not.
func TestNotificationsAtRandom(t *testing.T) {
	unraced(t)
	for seed := range soaked(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newTheatre(t, "native")
			random := rand.New(rand.NewPCG(seed, 0))
			there, gone, told := make(map[uint64]bool), make(map[uint64]bool), make(map[string]bool)
			a := w.open("")
			listen := func() {
				for _, n := range a.heard() {
					told[n] = true
					for slot := range there {
						assert.NotEqual(t, subsumed(slot), n, "it is still there")
					}
				}
			}
			for range 14 {
				switch random.IntN(5) {
				case 0:
					a.close()
					a = w.open([]string{"", "fail = true"}[random.IntN(2)])
				case 1, 2:
					if len(there) > 1 {
						slots := slices.Sorted(maps.Keys(there))
						slot := slots[random.IntN(len(slots)-1)] // never the newest, with which its knowledge would go
						w.remove(slot)
						delete(there, slot)
						gone[slot] = true
					}
				default:
					if m, err := a.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "listener"}); err == nil {
						there[m.Slot] = true
					}
				}
				listen()
			}
			a.close()
			a = w.open("")
			a.take()
			listen()
			a.close()
			for slot := range there {
				assert.True(t, told[complete(slot)], slot)
			}
			for slot := range gone {
				assert.True(t, told[complete(slot)] && told[subsumed(slot)], slot)
			}
		})
	}
}

// soaked returns how many seeds are tried: ROCKSNAP_TEST_SEEDS of them where it is set.
func soaked(seeds uint64) uint64 {
	if more, err := strconv.ParseUint(os.Getenv("ROCKSNAP_TEST_SEEDS"), 10, 64); err == nil {
		return more
	}
	return seeds
}
