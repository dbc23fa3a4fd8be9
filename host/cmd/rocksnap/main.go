// Command rocksnap takes durable snapshots of RocksDB databases, restores and
// verifies them. 'rocksnap help' lists the verbs; each has its own file here.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func main() {
	host.RunChild()
	addProcessors()
	os.Exit(run(os.Args[1:]...))
}

// waitingProcessors are as many of Go's processors as usually wait for a disk.
const waitingProcessors = 2

// addProcessors lets all cores work while files are written past the page cache: a
// system call that waits for the disk keeps one of Go's processors for itself, as
// the runtime does not see at once that it waits. What the environment says stands.
func addProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + waitingProcessors)
	}
}

// run executes one command line and returns its exit status.
func run(args ...string) int {
	c := &cli{out: os.Stdout, err: os.Stderr, stays: new(atomic.Bool)}
	ctx, stop := c.untilSignal()
	defer stop()
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = interrupted(err)
	}
	c.json = c.json || slices.Contains(args, "--json") // which a bad flag before it hides
	return c.report(err)
}

// untilSignal returns a context that the first signal ends; the next one kills. A
// hangup does neither while a verb stays on.
func (c *cli) untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan os.Signal, 1)
	signal.Notify(got, endings()...)
	go func() {
		defer cancel()
		defer signal.Stop(got)
		for {
			select {
			case s := <-got:
				if s != syscall.SIGHUP || !c.stays.Load() {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

// endings lists the signals that end a verb in order. That of a terminal that goes
// away is none of them where the caller ignores it, as nohup does.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// cli is what the verbs share: the streams and the global flags.
type cli struct {
	out, err io.Writer
	config   string
	json     bool
	quiet    bool
	verbose  bool
	stays    *atomic.Bool // whether the verb goes on after a hangup
}

func (c *cli) root() *cobra.Command {
	root := group("rocksnap", "Take durable snapshots of RocksDB databases", `rocksnap takes durable snapshots of RocksDB databases. How a snapshot is
taken is a strategy: native-full, incremental, canonical, or a sandboxed module
of your own.

Exit status: 0 ok, 1 failed, 2 wrong usage or configuration, 3 partly done,
10 no repository, 11 fenced or locked, 12 key, 20 damage found, 21 not
repairable, 30 plugin refused or failed, 130 interrupted.`,
		`  rocksnap db load ./docs --db data/db
  rocksnap init
  rocksnap snapshot --strategy incremental
  rocksnap restore latest --target restored`)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // ours has examples and exit statuses
	root.Version = moduleVersion()
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	flags := root.PersistentFlags()
	flags.StringVar(&c.config, "config", defaultConfig(), "configuration `FILE`; ROCKSNAP_CONFIG names another default")
	flags.BoolVar(&c.json, "json", false, "print one JSON document on stdout, and errors as JSON on stderr")
	flags.BoolVar(&c.quiet, "quiet", false, "show no progress and no warnings")
	flags.BoolVar(&c.verbose, "verbose", false, "log what happens to stderr")
	root.AddCommand(
		c.initVerb(), c.configVerbs(), c.snapshotVerb(), c.planVerb(), c.listVerb(), c.showVerb(), c.restoreVerb(),
		c.verifyVerb(), c.pruneVerb(), c.pinVerb(), c.unpinVerb(), c.copyVerb(),
		c.doctorVerb(), c.compareVerb(), c.deedVerb(), c.diffVerb(), c.digestVerb(), c.dbVerbs(), c.pluginVerbs(), c.completionVerb(), c.versionVerb(),
	)
	return root
}

func defaultConfig() string {
	if path := os.Getenv("ROCKSNAP_CONFIG"); path != "" {
		return path
	}
	return "rocksnap.toml"
}

// repository opens the repository of the configuration; report may be nil.
func (c *cli) repository(ctx context.Context, report func(host.Progress)) (*host.Repository, error) {
	cfg, err := config.Load(c.config)
	if err != nil {
		return nil, err
	}
	return host.OpenRepository(ctx, cfg, c.options(report)...)
}

func (c *cli) options(report func(host.Progress), more ...host.Option) []host.Option {
	options := []host.Option{host.WithLogger(c.logger())}
	if report != nil {
		options = append(options, host.WithProgress(report))
	}
	if folder := moduleCache(); folder != "" {
		options = append(options, host.WithModuleCache(folder))
	}
	if folder := stateDir(); folder != "" {
		options = append(options, host.WithStateDir(folder))
	}
	return append(options, more...)
}

// stateDir returns the folder of what this machine remembers of repositories; ""
// when there is none.
func stateDir() string {
	if folder := os.Getenv("ROCKSNAP_STATE_DIR"); folder != "" {
		return folder
	}
	if folder := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(folder) { // any other is to be ignored
		return filepath.Join(folder, "rocksnap")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "rocksnap")
}

// logger shows everything when asked to, and otherwise warnings, to people. With
// --json, stderr has JSON only.
func (c *cli) logger() *slog.Logger {
	everything := &slog.HandlerOptions{Level: slog.LevelDebug}
	switch {
	case c.verbose && c.json:
		return slog.New(slog.NewJSONHandler(c.err, everything))
	case c.verbose:
		return slog.New(slog.NewTextHandler(c.err, everything))
	case c.json || c.quiet:
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// moduleCache returns a folder for compiled modules, which only this user can
// write to; "" when there is none, which costs time and nothing else.
func moduleCache() string {
	folder := os.Getenv("ROCKSNAP_CACHE_DIR")
	if folder == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		folder = filepath.Join(user, "rocksnap", "modules")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return ""
	}
	return folder
}
