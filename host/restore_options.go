package host

import (
	"errors"
	"fmt"
	"time"

	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// RestoreOptions says what a restore makes of which snapshots. Only the target
// has no default.
type RestoreOptions struct {
	// Snapshots are the sources: ids, unambiguous beginnings of one, or "latest",
	// which none stands for as well. Of another database in the same repository it
	// is NAME/ID. Several sources are merged; no key may be in two of them.
	Snapshots []string

	// Group stands for the snapshots of all members of a group snapshot: its id,
	// NAME/ID of one of another group, or "latest". Snapshots is empty then.
	Group string

	Target string // a directory that is absent or empty, or with Delta a database that is closed

	// What is wanted; everything when nothing is said.
	KeyGroups *keygroup.Range // only these key groups, of snapshots that declare some
	Families  []string        // only these column families
	Keys      KeyRange        // only these keys

	Claim  Claim         // of the history that the snapshot is part of
	Engine string        // that the database is for, one of [Engines]; "" for RocksDB
	Method RestoreMethod // of a part, or of several; "" for files where that can be done

	// Link gives the target the very files of a repository in a directory, where it
	// lies on the same file system, instead of copies. What damages a file then
	// damages both, so the repository is no longer a backup of the target. Files that
	// cannot be linked are copied. Those of a local checkpoint, which is no backup,
	// are linked in any case.
	Link bool

	// Delta replaces the database in the target. Its tables and blob files that are
	// those of the snapshot, by their digests, become files of the new one; the others
	// are fetched. The old database stays as it is until the new one is complete and
	// takes its place, at once; then all of it is removed. It takes a native snapshot,
	// all of it. Encrypted files are fetched in any case.
	Delta bool
}

// KeyRange is a range of keys in the order of bytes. The zero KeyRange is all.
type KeyRange struct {
	From []byte // the first key; nil for no bound
	To   []byte // the first key after the range; nil for no bound
}

// Claim says to whom the history of a snapshot belongs after it was restored.
type Claim string

// The ways to claim, as in Flink.
const (
	// ClaimAuto is Claimed for all of one snapshot of the same database, else Forked.
	ClaimAuto Claim = ""
	// Claimed goes on in the same history: the next snapshot builds on the old
	// ones, which retention removes in time.
	Claimed Claim = "claim"
	// NotClaimed leaves the history to whoever has it: nothing of it is referred
	// to, so the next snapshot is a full one, and the snapshot that was restored is
	// pinned.
	NotClaimed Claim = "no-claim"
	// Forked begins a history of its own that shares objects with the old one.
	Forked Claim = "fork"
)

// RestoreMethod is how a part of a snapshot, or several of them, become a
// database.
type RestoreMethod string

// The methods.
const (
	// ByFiles takes RocksDB's files as they are, and rewrites those only that lie
	// across a border. Where that cannot be done the restore fails and says why.
	ByFiles RestoreMethod = "files"
	// ByRecords reads every record and writes it into new tables.
	ByRecords RestoreMethod = "records"
)

// Restored tells what a restore did.
type Restored struct {
	Snapshot  *Manifest   // the first of the sources
	Sources   []*Manifest // all of them
	Target    string
	Engine    string
	Method    RestoreMethod
	Fallback  string        // why Method is not ByFiles, where that was tried; "" when it was not
	Claim     Claim         // that was made; "" for an engine other than RocksDB
	Files     int           // that were fetched
	Skipped   int           // files of the sources that hold nothing that was wanted
	Bytes     int64         // read from the repository by this attempt
	Local     int64         // bytes of files that came from a local checkpoint
	Reused    int64         // bytes of files that came from the database in the target
	Linked    int64         // bytes of files that are now of the repository and of the target
	Resumed   int64         // bytes of files that an earlier attempt had fetched
	Rewritten int64         // bytes of tables that were written anew instead of taken
	Records   uint64        // loaded, for a canonical snapshot
	Duration  time.Duration // in all
}

// check refuses what has no meaning, before anything is read.
func (o *RestoreOptions) check() error {
	if _, err := kindOf(o.Engine); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	switch {
	case o.Group != "" && len(o.Snapshots) > 0:
		return problem(CodeUsage, errors.New("restore: a group and snapshots are named"), "name one or the other")
	case o.Claim != ClaimAuto && o.Claim != Claimed && o.Claim != NotClaimed && o.Claim != Forked:
		return problem(CodeUsage, fmt.Errorf("restore: claim mode %q is unknown", o.Claim), "it is claim, no-claim or fork")
	case o.Claim != ClaimAuto && !o.forRocksDB():
		return problem(CodeUsage, fmt.Errorf("restore: claim mode %q has no meaning for %s", o.Claim, o.Engine), "a database of another engine takes no snapshots; leave --claim out")
	case o.Method != "" && o.Method != ByFiles && o.Method != ByRecords:
		return problem(CodeUsage, fmt.Errorf("restore: method %q is unknown", o.Method), "it is files or records")
	case o.Claim == Claimed && (o.partial() || len(o.Snapshots) > 1 || o.Group != ""):
		return problem(CodeUsage, fmt.Errorf("restore: a part, or several snapshots together, cannot go on in one history"), "leave --claim out; it is a fork")
	case o.Delta && (!o.forRocksDB() || o.Method == ByRecords):
		return problem(CodeUsage, errors.New("restore: only files of RocksDB can be reused"), "leave --delta out")
	case o.Delta && (o.partial() || len(o.Snapshots) > 1 || o.Group != ""):
		return problem(CodeUsage, errors.New("restore: a part, or several snapshots together, cannot replace a database"), "leave --delta out, and name an absent or empty directory")
	case o.Keys.From != nil && o.Keys.To != nil && string(o.Keys.From) >= string(o.Keys.To):
		return problem(CodeUsage, fmt.Errorf("restore: no key is from %q up to %q", o.Keys.From, o.Keys.To), "the first key comes first")
	}
	return nil
}

// forRocksDB says whether the database is one of RocksDB.
func (o *RestoreOptions) forRocksDB() bool { return o.Engine == "" || o.Engine == RocksDB }

// partial says whether something of the sources may be left out.
func (o *RestoreOptions) partial() bool {
	return o.KeyGroups != nil || o.Families != nil || o.Keys.From != nil || o.Keys.To != nil
}
