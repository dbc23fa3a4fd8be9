package strategytest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/tap"
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

	t       T
	subject Subject
	kind    Database
	db      *rocks.DB // nil when it is not the site that has it open
	cfg     *config.Config
	store   blob.Store // nil for the one of the configuration

	around tap.Around // of the subject's calls; nil for none
}

// NewSite makes a database and a repository, both empty. A subject in both forms
// runs natively.
func NewSite(t T, s Subject, d Database) *Site {
	t.Helper()
	creation := rocks.Creation{Families: d.Families, BlobFiles: d.BlobFiles, MinBlobBytes: 64}
	db, err := rocks.Open(filepath.Join(t.TempDir(), "db"), rocks.Options{CreateIfMissing: true, Creation: creation})
	must(t, err, "make a database")
	return newSite(t, s, d, db, filepath.Join(t.TempDir(), "repository"))
}

func newSite(t T, s Subject, d Database, db *rocks.DB, repository string) *Site {
	t.Helper()
	site := &Site{t: t, subject: s, kind: d, db: db}
	t.Cleanup(func() { must(t, db.Close(), "close the database") })
	site.cfg = configure(t, s, d, db.Path(), repository)
	if _, err := os.Stat(repository); err != nil {
		_, err := host.Init(t.Context(), site.cfg, host.InitOptions{SkipProbe: true})
		must(t, err, "make a repository")
	}
	site.Host = site.open()
	return site
}

// open opens a host for the subject on the site's database.
func (s *Site) open(options ...host.Option) *host.Host {
	s.t.Helper()
	compiled, err := s.subject.compiled()
	must(s.t, err, "find a folder for compiled modules")
	options = append(options, host.WithModuleCache(compiled), host.WithSessionWrapper(s.wrap))
	if s.db != nil {
		options = append(options, lend(s.db))
	}
	if s.store != nil {
		options = append(options, host.WithStore(s.store))
	}
	if s.subject.Open != nil {
		options = append(options, host.WithStrategy(s.subject.Name, s.subject.Open))
	}
	h, err := host.Open(s.t.Context(), s.cfg, options...)
	must(s.t, err, "open the host")
	s.t.Cleanup(func() { must(s.t, h.Close(), "close the host") })
	return h
}

func (s *Site) wrap(session abi.Session) abi.Session {
	if s.around == nil {
		return session
	}
	return tap.Wrap(session, s.around)
}

func configure(t T, s Subject, d Database, database, repository string) *config.Config {
	t.Helper()
	trial := s.Trial(database, repository)
	trial.Flush, trial.KeyGroups = d.Flush, d.KeyGroups
	cfg, err := trial.Configure(t.TempDir())
	must(t, err, "configure the subject")
	return cfg
}

// Trial returns the trial of a subject on a database, given as a folder, and with
// a repository in another.
func (s Subject) Trial(database, repository string) host.Trial {
	return host.Trial{Strategy: s.Name, Module: s.module(), Allow: s.Allow, Config: s.Config, Database: database, Repository: repository}
}

// module is the path for the configuration, which wants one of a native strategy
// too.
func (s Subject) module() string {
	if s.Open != nil {
		return "native"
	}
	path, err := filepath.Abs(s.Module)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil { // the host knows where else to look
		return s.Module
	}
	return path
}

// Put writes a record.
func (s *Site) Put(family, key, value string) {
	s.t.Helper()
	must(s.t, s.db.PutBlock(family, canonical.AppendRecord(nil, []byte(key), []byte(value))), "put a record")
}

// Fill writes count records that follow from the seed, with key-group prefixes
// where the database has key groups. Fills overwrite some of each other's keys.
func (s *Site) Fill(family string, seed uint64, count int) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(seed, seed))
	var block []byte
	for range count {
		key := fmt.Appendf(nil, "key-%06d", random.IntN(4*count))
		group := keygroup.KeyGroup(key, s.kind.KeyGroups)
		stored := append(keygroup.AppendPrefix(nil, group, s.kind.KeyGroups), key...)
		value := make([]byte, 20+random.IntN(200))
		for i := range value {
			value[i] = byte('a' + random.IntN(16))
		}
		block = canonical.AppendRecord(block, stored, value)
	}
	must(s.t, s.db.PutBlock(family, block), "fill the database")
}

// Flush writes all memtables to tables.
func (s *Site) Flush() {
	s.t.Helper()
	must(s.t, s.db.Flush(), "flush")
}

// Compact compacts the whole database.
func (s *Site) Compact() {
	s.t.Helper()
	must(s.t, s.db.CompactAll(), "compact")
}

// Digest returns the content digest of the database as it is now.
func (s *Site) Digest() string {
	s.t.Helper()
	content, err := s.Host.Digest(s.t.Context())
	must(s.t, err, "digest the database")
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
	must(s.t, err, "take a snapshot")
	return m
}

// RestoredDigest restores a snapshot and returns the content digest of the
// result.
func (s *Site) RestoredDigest(id string) string {
	s.t.Helper()
	target, err := os.MkdirTemp("", "strategytest-") // a test may restore very often
	must(s.t, err, "make a folder")
	defer os.RemoveAll(target)
	_, err = s.Host.Restore(s.t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
	must(s.t, err, "restore")
	content, err := host.DigestDatabase(s.t.Context(), target, 1, nil)
	must(s.t, err, "digest what was restored")
	return content.Digest
}

// Restored restores a snapshot and returns the site where its database goes on,
// with the same repository. The site that it came from is fenced.
func (s *Site) Restored(id string) *Site {
	s.t.Helper()
	target := filepath.Join(s.t.TempDir(), "restored")
	_, err := s.Host.Restore(s.t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
	must(s.t, err, "restore")
	db, err := rocks.Open(target, rocks.Options{})
	must(s.t, err, "open what was restored")
	return newSite(s.t, s.subject, s.kind, db, s.cfg.Repository.Dir())
}

// List returns the ids of the committed snapshots, oldest first.
func (s *Site) List() []string {
	s.t.Helper()
	repository, err := host.OpenRepository(s.t.Context(), s.cfg)
	must(s.t, err, "open the repository")
	list, err := repository.List(s.t.Context())
	must(s.t, err, "list snapshots")
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
	must(s.t, err, "list checkpoints")
	return found
}
