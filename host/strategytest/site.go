package strategytest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Database describes the database of a [Site].
type Database struct {
	Families  []string // column families beside "default"
	BlobFiles bool     // keep values of 64 bytes and more in blob files
	Flush     string   // as in the configuration; "" for auto
	KeyGroups uint32   // count of key groups; 0 for none
}

// Site is a place where snapshots are taken: a real database that the test
// writes to, a repository in a folder, and a host of the subject over both. All
// of it is gone when the test ends. A step that fails ends the test.
type Site struct {
	Host *host.Host

	t       testing.TB
	subject Subject
	kind    Database
	db      *rocks.DB
	cfg     *config.Config

	around around // of the subject's calls; nil for none
}

// NewSite makes a database and a repository, both empty. A subject in both forms
// runs natively.
func NewSite(t testing.TB, s Subject, d Database) *Site {
	t.Helper()
	creation := rocks.Creation{Families: d.Families, BlobFiles: d.BlobFiles, MinBlobBytes: 64}
	db, err := rocks.Open(filepath.Join(t.TempDir(), "db"), rocks.Options{CreateIfMissing: true, Creation: creation})
	require.NoError(t, err)
	return newSite(t, s, d, db, filepath.Join(t.TempDir(), "repository"))
}

func newSite(t testing.TB, s Subject, d Database, db *rocks.DB, repository string) *Site {
	t.Helper()
	site := &Site{t: t, subject: s, kind: d, db: db}
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	site.cfg = configure(t, s, d, db.Path(), repository)
	if _, err := os.Stat(repository); err != nil {
		_, err := host.Init(t.Context(), site.cfg, host.InitOptions{SkipProbe: true})
		require.NoError(t, err)
	}
	site.Host = site.open()
	return site
}

// open opens a host for the subject on the site's database.
func (s *Site) open(options ...host.Option) *host.Host {
	s.t.Helper()
	db, families := s.db.Lend()
	options = append(options, host.WithDB(db, families...), host.WithModuleCache(dbtest.Cache()), host.WithSessionWrapper(s.wrap))
	if s.subject.Open != nil {
		options = append(options, host.WithStrategy(s.subject.Name, s.subject.Open))
	}
	h, err := host.Open(s.t.Context(), s.cfg, options...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, h.Close()) })
	return h
}

func (s *Site) wrap(session abi.Session) abi.Session {
	if s.around == nil {
		return session
	}
	return &probe{session, s.around}
}

func configure(t testing.TB, s Subject, d Database, database, repository string) *config.Config {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "version = 1\n[database]\npath = %q\n[repository]\nurl = %q\nname = \"db\"\n", database, "file:"+repository)
	fmt.Fprintf(&text, "[snapshot]\nstrategy = %q\n", s.Name)
	if d.Flush != "" {
		fmt.Fprintf(&text, "flush = %q\n", d.Flush)
	}
	if d.KeyGroups > 0 {
		fmt.Fprintf(&text, "[keygroups]\ncount = %d\n", d.KeyGroups)
	}
	fmt.Fprintf(&text, "[strategies.%s]\nmodule = %q\nallow_unpinned = true\nallow = [", s.Name, s.module())
	for _, grant := range s.Allow {
		fmt.Fprintf(&text, "%q, ", grant)
	}
	fmt.Fprintf(&text, "]\n[strategies.%s.config]\n%s\n", s.Name, s.Config)
	file := filepath.Join(t.TempDir(), "rocksnap.toml")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	cfg, err := config.Load(file)
	require.NoError(t, err)
	return cfg
}

// module is the path for the configuration, which wants one of a native strategy
// too.
func (s Subject) module() string {
	if s.Open != nil {
		return "native"
	}
	path, err := filepath.Abs(s.Module)
	if err != nil {
		return s.Module
	}
	return path
}

// Put writes a record.
func (s *Site) Put(family, key, value string) {
	s.t.Helper()
	require.NoError(s.t, s.db.PutBlock(family, canonical.AppendRecord(nil, []byte(key), []byte(value))))
}

// Fill writes count records that follow from the seed, with key-group prefixes
// where the database has key groups. Fills overwrite some of each other's keys.
func (s *Site) Fill(family string, seed uint64, count int) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(seed, seed))
	var block []byte
	for range count {
		key := fmt.Appendf(nil, "key-%06d", random.IntN(4*count))
		group := keygroup.Group(key, s.kind.KeyGroups)
		stored := append(keygroup.AppendPrefix(nil, group, s.kind.KeyGroups), key...)
		value := make([]byte, 20+random.IntN(200))
		for i := range value {
			value[i] = byte('a' + random.IntN(16))
		}
		block = canonical.AppendRecord(block, stored, value)
	}
	require.NoError(s.t, s.db.PutBlock(family, block))
}

// Flush writes all memtables to tables.
func (s *Site) Flush() {
	s.t.Helper()
	require.NoError(s.t, s.db.Flush())
}

// Compact compacts the whole database.
func (s *Site) Compact() {
	s.t.Helper()
	require.NoError(s.t, s.db.CompactAll())
}

// Digest returns the content digest of the database as it is now.
func (s *Site) Digest() string {
	s.t.Helper()
	content, err := s.Host.Digest(s.t.Context())
	require.NoError(s.t, err)
	return content.Digest
}

// TrySnapshot takes a snapshot that may fail.
func (s *Site) TrySnapshot() (*host.Manifest, error) {
	return s.Host.Snapshot(s.t.Context(), host.SnapshotOptions{})
}

// Snapshot takes a snapshot.
func (s *Site) Snapshot() *host.Manifest {
	s.t.Helper()
	m, err := s.TrySnapshot()
	require.NoError(s.t, err)
	return m
}

// RestoredDigest restores a snapshot and returns the content digest of the
// result.
func (s *Site) RestoredDigest(id string) string {
	s.t.Helper()
	target, err := os.MkdirTemp("", "strategytest-") // a test may restore very often
	require.NoError(s.t, err)
	defer os.RemoveAll(target)
	_, err = s.Host.Restore(s.t.Context(), id, target)
	require.NoError(s.t, err)
	content, err := host.DigestDatabase(s.t.Context(), target, 1, nil)
	require.NoError(s.t, err)
	return content.Digest
}

// Restored restores a snapshot and returns the site where its database goes on,
// with the same repository. The site that it came from is fenced.
func (s *Site) Restored(id string) *Site {
	s.t.Helper()
	target := filepath.Join(s.t.TempDir(), "restored")
	_, err := s.Host.Restore(s.t.Context(), id, target)
	require.NoError(s.t, err)
	db, err := rocks.Open(target, rocks.Options{})
	require.NoError(s.t, err)
	return newSite(s.t, s.subject, s.kind, db, s.cfg.Repository.Dir())
}

// List returns the ids of the committed snapshots, oldest first.
func (s *Site) List() []string {
	s.t.Helper()
	repository, err := host.OpenRepository(s.t.Context(), s.cfg)
	require.NoError(s.t, err)
	list, err := repository.List(s.t.Context())
	require.NoError(s.t, err)
	ids := make([]string, len(list))
	for i, summary := range list {
		ids[i] = summary.ID
	}
	return ids
}

// Checkpoints returns the names of checkpoints beside the database: none, unless
// a snapshot is under way.
func (s *Site) Checkpoints() []string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(rocks.Staging(s.db.Path()), "*"))
	require.NoError(s.t, err)
	return found
}
