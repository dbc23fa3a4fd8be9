package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// site is a database with a repository and a configuration, of one contender.
type site struct {
	ground *Ground
	db     string
	folder string
	url    string
	cfg    *config.Config
	host   *host.Host   // nil while it is closed
	wipe   func() error // removes the repository

	snapshots string // lines of [snapshot]; "" for none
	options   []host.Option
}

// databaseName is that within every repository.
const databaseName = "bench"

// grants are what the built-in strategies need.
var grants = map[string]string{
	"native-full": `"checkpoint", "upload"`,
	"incremental": `"checkpoint", "upload", "reuse", "state"`,
	"canonical":   `"export"`,
}

// site makes one around a database, which the contender may then change. Its
// repository is a folder unless lines say otherwise.
func (g *Ground) site(db, strategy string, options ...host.Option) (*site, error) {
	folder, err := g.folder(strategy)
	if err != nil {
		return nil, err
	}
	s := &site{ground: g, db: db, folder: folder, url: "file:" + filepath.Join(folder, "repository"), options: options}
	s.wipe = func() error { return os.RemoveAll(s.repository()) }
	g.atEnd(s.close)
	return s, s.configure(strategy)
}

// configure writes the configuration, with more lines, and loads it.
func (s *site) configure(strategy string, lines ...string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "version = 1\n[database]\npath = %q\n[snapshot]\nstrategy = %q\n%s\n", s.db, strategy, s.snapshots)
	for name, grant := range grants {
		module := filepath.Join(s.ground.Plugins, name+".wasm")
		fmt.Fprintf(&text, "[strategies.%s]\nmodule = %q\nallow_unpinned = true\nallow = [%s]\n", name, module, grant)
	}
	fmt.Fprintf(&text, "[repository]\nname = %q\nurl = %q\n%s\n", databaseName, s.url, strings.Join(lines, "\n"))
	file := filepath.Join(s.folder, "rocksnap.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return err
	}
	var err error
	s.cfg, err = config.Load(file)
	return err
}

func (s *site) repository() string { return filepath.Join(s.folder, "repository") }

// fresh has the repository be an empty one.
func (s *site) fresh(ctx context.Context) error {
	if err := errors.Join(s.close(), s.wipe()); err != nil {
		return err
	}
	_, err := host.Init(ctx, s.cfg, host.InitOptions{SkipProbe: true}, s.options...)
	return err
}

func (s *site) open(ctx context.Context) (err error) {
	if s.host != nil {
		return nil
	}
	cache := s.ground.cache()
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return err
	}
	s.host, err = host.Open(ctx, s.cfg, append(s.options, host.WithModuleCache(cache))...)
	time.Sleep(readied)
	return err
}

// readied is how long a host that was opened, or has taken a snapshot, needs to have
// an instance of the strategy ready. One that stays has that time.
const readied = 100 * time.Millisecond

func (s *site) close() error {
	if s.host == nil {
		return nil
	}
	h := s.host
	s.host = nil
	return h.Close()
}

// snapshot measures a snapshot by an open host, which it then closes.
func (s *site) snapshot(ctx context.Context) (Measure, error) {
	m, err := s.take(ctx)
	return m, errors.Join(err, s.close())
}

// take measures a snapshot by an open host.
func (s *site) take(ctx context.Context) (Measure, error) {
	var made *host.Manifest
	m, err := timed(0, func() (err error) {
		made, err = s.host.Snapshot(ctx, host.SnapshotOptions{})
		return err
	})
	if err == nil {
		m.Bytes = made.BytesNew
	}
	return m, err
}

// full takes each snapshot into an empty repository.
func (s *site) full(name string) Contender {
	before := func(ctx context.Context) error {
		if err := s.fresh(ctx); err != nil {
			return err
		}
		if err := s.ground.settle(s.db); err != nil {
			return err
		}
		return s.open(ctx)
	}
	return Contender{Name: name, Before: before, Run: s.snapshot}
}
