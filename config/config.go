// Package config reads rocksnap.toml. [Load] and [Parse] turn the text into a
// [Config] in which every value is present, checked and, for a path, absolute;
// nothing later has to ask whether a setting makes sense.
//
// Reading is strict: an unknown key, a wrong type or an impossible value is an
// [Error] with its place in the file, and all of them are reported at once.
//
// Secrets do not stand in the file, which people share and keep in version
// control: the store takes its credentials from where every AWS client looks for
// them, and a key of age has a file of its own. No error repeats what may be one.
//
// An environment variable ROCKSNAP_<SECTION>_<KEY> overrides a key, as in
// ROCKSNAP_SNAPSHOT_FLUSH=never or ROCKSNAP_STRATEGIES_INCREMENTAL_LIMITS_MEMORY.
// Every character of the key that is no letter or digit becomes an underscore,
// a list is separated by commas, and an empty variable counts as unset. The
// version and a strategy's own table cannot be overridden.
package config

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Version is the version of the file's format that this package reads.
const Version = 1

// Config is a whole configuration. Relative paths of the file have been made
// absolute against the file's folder, except modules, which have a search path
// of their own.
type Config struct {
	Path       string // the file
	Version    int    // always [Version]
	Database   Database
	Repository Repository
	Snapshot   Snapshot
	Local      Local
	Plugins    Plugins
	Strategies map[string]Strategy // the tables of the file and the built-in strategies
	Retention  Retention
	KeyGroups  *KeyGroups        // nil when keys have no key-group prefix
	Families   map[string]Family // the column families of which the file says something, by name
	Group      *Group            // nil when the database takes no group snapshots

	file    fs.FileInfo       // of the file that was read; nil without one
	origins map[string]string // of the values that are not defaults and of the file's tables, by key
}

// Database says which RocksDB database to snapshot.
type Database struct {
	Path string // its folder
	Mode Mode   // [Own] unless given

	// Shard, 1 to [MaxShard], gives a database that rocksnap makes, or restores, a
	// range of file numbers of its own, so that the blob files of all shards can lie
	// in one directory. 0 leaves the numbers to RocksDB.
	Shard int
}

// MaxShard is the highest number of a shard.
const MaxShard = 1<<16 - 1

// Snapshot says how `rocksnap snapshot` takes one.
type Snapshot struct {
	Strategy  string // a key of [Config.Strategies]
	Flush     Flush  // [FlushAuto] unless given
	Preupload bool   // store new files between snapshots, while a host stays open
}

// KeyGroups says that keys start with a big-endian key-group prefix.
type KeyGroups struct {
	Count uint32   // groups in total, 1 to 32768
	Range KeyRange // groups that this database holds; all of them unless given
}

// Mode is the relation to the database.
type Mode string

// The modes.
const (
	Own      Mode = "own"       // rocksnap opens it for writing
	ReadOnly Mode = "read-only" // rocksnap opens it and writes nothing
	Follow   Mode = "follow"    // another process owns it
)

// UnmarshalText accepts the name of a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	return choose(m, text, Own, ReadOnly, Follow)
}

// String returns the mode as it stands in the file.
func (m Mode) String() string { return string(m) }

// Flush says whether memtables are flushed before the checkpoint.
type Flush string

// The ways to flush.
const (
	FlushAuto   Flush = "auto"   // when the WAL is large
	FlushAlways Flush = "always" // every time
	FlushNever  Flush = "never"  // the WAL travels with the snapshot
)

// UnmarshalText accepts the name of a way to flush.
func (f *Flush) UnmarshalText(text []byte) error {
	return choose(f, text, FlushAuto, FlushAlways, FlushNever)
}

// String returns the way to flush as it stands in the file.
func (f Flush) String() string { return string(f) }

// choose sets target to the one of choices that text names.
func choose[T ~string](target *T, text []byte, choices ...T) error {
	if !slices.Contains(choices, T(text)) {
		names := make([]string, len(choices))
		for i, c := range choices {
			names[i] = string(c)
		}
		return &valueError{
			message: fmt.Sprintf("must be %s, not %q", either(names), text),
			hint:    didYouMean(nearest(string(text), names)),
		}
	}
	*target = T(text)
	return nil
}

// File tells of the file as it was before it was read; nil when [Parse] has read
// the text. What it differs in from the file of now has changed since.
func (c *Config) File() fs.FileInfo { return c.file }

// Dir returns the folder of the file, against which its relative paths are
// resolved.
func (c *Config) Dir() string { return filepath.Dir(c.Path) }

// Select makes name the strategy to take snapshots with, whatever the file
// says, as an option of the command line does. It fails with an [*Error] when
// there is no such strategy.
func (c *Config) Select(name, origin string) error {
	if _, ok := c.Strategies[name]; !ok {
		message, hint := c.noStrategy(name)
		return &Error{File: origin, Message: message, Hint: hint}
	}
	c.Snapshot.Strategy = name
	c.setOrigin("snapshot.strategy", origin)
	return nil
}

func (c *Config) setOrigin(key, origin string) {
	if c.origins == nil {
		c.origins = make(map[string]string)
	}
	c.origins[key] = origin
}
