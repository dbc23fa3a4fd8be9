package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// Level is how deep a verification goes; each contains the ones before it.
type Level string

// The levels.
const (
	// LevelCatalog reads what says which snapshots there are: the format, every
	// entry, the intents, notes and pins. Every byte of them is proven, and so is
	// that nobody has changed the history.
	LevelCatalog Level = "catalog"
	// LevelObjects asks the store whether every object is there, with its size
	// and, where the store knows one, its checksum. Nothing is downloaded.
	LevelObjects Level = "objects"
	// LevelData reads every object and every module, and compares the digests.
	LevelData Level = "data"
	// LevelRestore restores every snapshot into a temporary folder, has RocksDB
	// open it, and reads every record that is live, with RocksDB's own checks of
	// its blocks. All other bytes are covered by the digests. The content digest
	// is compared with the recorded one; a native snapshot has none.
	LevelRestore Level = "restore"
)

// Levels lists the levels from cheap to thorough.
var Levels = []Level{LevelCatalog, LevelObjects, LevelData, LevelRestore}

// VerifyOptions says what is verified.
type VerifyOptions struct {
	Level     Level
	Sample    Sample   // of what the levels data and restore read
	Seen      string   // a [Verified.Head] of an earlier day, kept elsewhere, which history has to contain; "" for none
	Snapshots []string // by id, an unambiguous beginning of it, or "latest"; none for all, with the history
}

// check refuses options that make no sense, and returns the entry that was seen.
func (o VerifyOptions) check() (seen catalog.Head, err error) {
	depth := slices.Index(Levels, o.Level)
	reads := depth >= slices.Index(Levels, LevelData)
	switch {
	case depth < 0:
		return seen, problem(CodeUsage, fmt.Errorf("verify: no level %q", o.Level), "use catalog, objects, data or restore")
	case o.Sample.Of != 0 && (o.Sample.N < 1 || o.Sample.N > o.Sample.Of):
		return seen, problem(CodeUsage, fmt.Errorf("verify: no sample %s", o.Sample), sampleHint)
	case o.Sample.Of != 0 && !reads:
		return seen, problem(CodeUsage, fmt.Errorf("verify: level %s reads no data of which there could be a sample", o.Level), "use level data or restore")
	case o.Seen != "" && len(o.Snapshots) > 0:
		return seen, problem(CodeUsage, errors.New("verify: single snapshots tell nothing of the history"), "verify all snapshots to compare it with what was seen")
	case o.Seen != "":
		return parseHead(o.Seen)
	}
	return seen, nil
}

// Finding is one thing that is wrong.
type Finding struct {
	Snapshot string // id; "" where it is not of one snapshot
	File     string // name in the manifest; "" for the manifest itself and for modules
	Object   string // name in the store; "" where it is not of one object
	What     string // what is wrong, without the names above
}

// HistoryHint is what to do about findings in history.
const HistoryHint = "history cannot be repaired: compare with a copy of the repository, and restore only snapshots that are not listed"

// InHistory says whether the finding is of an entry of the catalog. Nothing but the
// entry itself says what it said, so no repair brings it back.
func (f Finding) InHistory() bool { return catalog.IsEntry(f.Object) }

// Pass is what a verification did at one level.
type Pass struct {
	Level    Level
	Checked  int   // documents, objects, objects and modules, snapshots, by level
	Bytes    int64 // of objects: their size in the store
	Left     int   // to the other runs of the sample
	Unread   int   // not checked: snapshots that could not be read, for want of a key, say, or of code of the application
	Problems int
}

// Verified is the outcome of a verification.
type Verified struct {
	Level     Level
	Passes    []Pass // from cheap to thorough
	Snapshots int
	Objects   int       // that the snapshots refer to
	Bytes     int64     // that these take in the store
	Head      string    // newest entry of the catalog, as "slot:digest"; "" when there is none or single snapshots were named
	Problems  []Finding // by snapshot, then as they were found

	// What nothing refers to any more, and what the next prune could delete, in
	// all databases of the repository. It is no problem. The numbers are 0 when
	// single snapshots were named, and where a document is damaged that might
	// refer to something.
	Orphans     int
	OrphanBytes int64
}

// Verify checks the repository of the database, or some snapshots. Damage is in
// the result; the error is for what kept it from looking, and then the result may
// be there beside it.
func (r *Repository) Verify(ctx context.Context, o VerifyOptions) (*Verified, error) {
	v, err := r.verify(ctx, o)
	if v == nil {
		return nil, err
	}
	return &v.result, err
}

func (r *Repository) verify(ctx context.Context, o VerifyOptions) (*verification, error) {
	seen, err := o.check()
	if err != nil {
		return nil, err
	}
	v := &verification{
		repository: r, options: o, seen: seen, result: Verified{Level: o.Level},
		objects: make(map[string]*holding), modules: make(map[string][]*Manifest),
		broken: make(map[string]bool), found: make(map[Finding]bool),
	}
	for _, level := range Levels[:slices.Index(Levels, o.Level)+1] {
		if err = v.pass(ctx, level); err != nil {
			err = fmt.Errorf("verify: %w", err)
			break
		}
	}
	v.sort()
	if err == nil && len(v.result.Problems) == 0 && v.head.Slot > 0 {
		r.remember(v.head)
	}
	return v, err
}

// verification is one run of Verify.
type verification struct {
	repository *Repository
	options    VerifyOptions
	seen       catalog.Head // by the caller
	head       catalog.Head
	manifests  []*Manifest // oldest first
	objects    map[string]*holding
	modules    map[string][]*Manifest // by sha256

	mu     sync.Mutex // guards the rest
	found  map[Finding]bool
	broken map[string]bool // objects and ids of snapshots that need no further look
	result Verified
}

// holding is an object and the files that it holds: the same file of several
// snapshots, or several ones where it is a pack.
type holding struct {
	file  *File // of one of them
	users []user
}

type user struct {
	manifest *Manifest
	file     *File
}

// files lists the files that the object holds, each once, in their order.
func (h *holding) files() []*File {
	if h.file.Segment == nil {
		return []*File{h.file}
	}
	var list []*File
	for _, u := range h.users {
		list = append(list, u.file)
	}
	slices.SortStableFunc(list, func(a, b *File) int {
		return cmp.Or(cmp.Compare(a.Offset(), b.Offset()), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.CompactFunc(list, sameStored)
}

// sameStored says whether two files are the same part of one object.
func sameStored(a, b *File) bool {
	return a.Object == b.Object && a.Offset() == b.Offset() && a.StoredSize() == b.StoredSize() && a.Digest == b.Digest
}

// bytes returns how many bytes of the object belong to a file.
func (h *holding) bytes() (n int64) {
	for _, f := range h.files() {
		n += f.StoredSize()
	}
	return n
}

// pass verifies at one level.
func (v *verification) pass(ctx context.Context, level Level) error {
	work := map[Level]func(context.Context, *Pass) error{
		LevelCatalog: v.readCatalog, LevelObjects: v.askStore, LevelData: v.readData, LevelRestore: v.drill,
	}
	p := Pass{Level: level}
	before := len(v.result.Problems)
	err := work[level](ctx, &p)
	if err == nil {
		err = v.forgive(ctx)
	}
	p.Problems = len(v.result.Problems) - before
	v.result.Passes = append(v.result.Passes, p)
	return err
}

// find enters what is wrong, once.
func (v *verification) find(f Finding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.found[f] {
		v.found[f] = true
		v.result.Problems = append(v.result.Problems, f)
	}
}

// blame enters what is wrong with an object for every file that it holds, or for
// some of them.
func (v *verification) blame(h *holding, what string, files ...*File) {
	for _, u := range h.users {
		isHit := func(f *File) bool { return sameStored(f, u.file) }
		if len(files) > 0 && h.file.Segment != nil && !slices.ContainsFunc(files, isHit) {
			continue
		}
		v.find(Finding{Snapshot: u.manifest.ID, File: u.file.Name, Object: h.file.Object, What: what})
		v.mu.Lock()
		v.broken[h.file.Object], v.broken[u.manifest.ID] = true, true
		v.mu.Unlock()
	}
}

func (v *verification) isBroken(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.broken[name]
}

// sort puts what was found in the order of the snapshots; what is of none of them
// comes first.
func (v *verification) sort() {
	order := make(map[string]int)
	for i, m := range v.manifests {
		order[m.ID] = i + 1
	}
	slices.SortStableFunc(v.result.Problems, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.Snapshot], order[b.Snapshot]), cmp.Compare(a.File, b.File))
	})
}

// forgive drops what was found of snapshots that prune has removed meanwhile:
// their objects may go at any time.
func (v *verification) forgive(ctx context.Context) error {
	if !slices.ContainsFunc(v.result.Problems, func(f Finding) bool { return f.File != "" }) {
		return nil
	}
	present := make(map[string]bool)
	for s, err := range v.repository.catalog.Snapshots(ctx) {
		if err != nil && !errors.Is(err, catalog.ErrDamaged) {
			return err
		}
		present[s.ID] = true
	}
	v.result.Problems = slices.DeleteFunc(v.result.Problems, func(f Finding) bool {
		return f.Snapshot != "" && !present[f.Snapshot]
	})
	return nil
}
