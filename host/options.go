package host

import (
	"log/slog"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
)

// Option changes how a [Host] or a [Repository] is opened.
type Option func(*settings)

// settings is the sum of the options.
type settings struct {
	lent    *lent // nil unless the program has the database open
	offline bool
	reader  bool
	writes  bool // snapshots are to be stored
	native  map[string]func() abi.Strategy
	wrap    func(abi.Session) abi.Session
	store   blob.Store
	log     *slog.Logger
	report  func(Progress)
	cache   string
	state   string // folder; see WithStateDir
	clock   func() time.Time
	pace    pace // of what is stored between snapshots
}

func newSettings(options []Option) settings {
	s := settings{log: discard, clock: time.Now, pace: usualPace, native: make(map[string]func() abi.Strategy)}
	for _, option := range options {
		option(&s)
	}
	return s
}

// Offline makes the host hold the database directory by RocksDB's own lock, but
// not open it for writing: nothing in it changes and no compaction starts. It
// suits a program that takes one snapshot of a database at rest.
func Offline() Option { return func(s *settings) { s.offline = true } }

// ReadOnlyRepository opens the host without announcing a writer, for planning and
// digests. Snapshots are refused.
func ReadOnlyRepository() Option { return func(s *settings) { s.reader = true } }

// WithStrategy registers a strategy that runs natively, without a sandbox, under
// a name. open is called once for each snapshot, and once more before it where the
// strategy has to be told of earlier ones.
func WithStrategy(name string, open func() abi.Strategy) Option {
	return func(s *settings) { s.native[name] = open }
}

// WithSessionWrapper gives strategies the session that wrap returns in place of
// the host's own, once for each phase. It is for tests of strategies: to watch
// their calls, or to fail some. What the host proves does not pass through it.
func WithSessionWrapper(wrap func(abi.Session) abi.Session) Option {
	return func(s *settings) { s.wrap = wrap }
}

// WithStore replaces the store that the configuration's url names.
func WithStore(store blob.Store) Option { return func(s *settings) { s.store = store } }

// WithLogger sends the log lines of the host and of strategies to a logger.
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// WithProgress has long operations report how far they have come, from any
// goroutine, at most about ten times a second.
func WithProgress(report func(Progress)) Option { return func(s *settings) { s.report = report } }

// WithModuleCache keeps compiled modules in a folder that nobody else can write
// to. Whoever can write there can run code in the host.
func WithModuleCache(folder string) Option { return func(s *settings) { s.cache = folder } }
