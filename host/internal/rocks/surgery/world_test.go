package surgery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// world is what one seed makes: databases of disjoint keys, and what they hold.
type world struct {
	*require.Assertions
	rng      *rand.Rand
	dir      string
	families []string
	style    int // of compaction: leveled, leveled with dynamic levels, universal
	options  *grocksdb.Options
	blobs    bool
	flushes  int // in a hundred operations
	shards   []*shard
	folders  int
}

const groups = 16 // of keys, by their first byte

// model is the content of a database: column family, key, value.
type model map[string]map[string]string

// shard is a database and its model.
type shard struct {
	lower, upper int // groups
	dir          string
	model        model
}

var compressions = []grocksdb.CompressionType{
	grocksdb.NoCompression, grocksdb.SnappyCompression, grocksdb.LZ4Compression, grocksdb.ZSTDCompression,
}

func newWorld(a *require.Assertions, seed uint64, dir string) *world {
	w := &world{Assertions: a, rng: rand.New(rand.NewPCG(seed, 5)), dir: dir}
	w.families = []string{"default", "a", "b", "c"}[:1+w.rng.IntN(4)]
	w.style, w.blobs, w.flushes = w.rng.IntN(3), w.rng.IntN(4) == 0, 1+w.rng.IntN(6)
	base := grocksdb.NewDefaultOptions()
	defer base.Destroy()
	var err error
	w.options, err = grocksdb.GetOptionsFromString(base, fmt.Sprintf("merge_operator=stringappend;allow_fallocate=false;avoid_flush_during_recovery=%t", w.rng.IntN(4) == 0))
	a.NoError(err)
	w.tune(w.options)
	for _, cut := range w.cuts(1 + w.rng.IntN(4)) {
		w.shards = append(w.shards, &shard{lower: cut[0], upper: cut[1]})
	}
	return w
}

// tune makes tables and levels small, so that there are many of them.
func (w *world) tune(o *grocksdb.Options) {
	o.SetCreateIfMissing(true)
	o.SetWriteBufferSize(64 << 10)

	o.SetCompression(compressions[w.rng.IntN(len(compressions))])
	o.SetTargetFileSizeBase(4 << 10)
	o.SetMaxBytesForLevelBase(8 << 10)
	o.SetMaxBytesForLevelMultiplier(2)
	o.SetDisableAutoCompactions(w.rng.IntN(2) == 0)
	o.SetInfoLogLevel(grocksdb.ErrorInfoLogLevel)
	switch w.style {
	case 1:
		o.SetLevelCompactionDynamicLevelBytes(true)
	case 2:
		o.SetCompactionStyle(grocksdb.UniversalCompactionStyle)
	}
	if w.blobs {
		o.EnableBlobFiles(true)
		o.SetMinBlobSize(64)
		o.EnableBlobGC(w.rng.IntN(2) == 0)
		o.SetBlobGCAgeCutoff(1)
	}
}

// cuts divides the groups into n ranges.
func (w *world) cuts(n int) (ranges [][2]int) {
	at := []int{0, groups}
	for _, g := range w.rng.Perm(groups - 1)[:n-1] {
		at = append(at, g+1)
	}
	slices.Sort(at)
	for i := range n {
		ranges = append(ranges, [2]int{at[i], at[i+1]})
	}
	return ranges
}

func (w *world) folder(name string) string {
	w.folders++
	return filepath.Join(w.dir, fmt.Sprintf("%s-%d", name, w.folders))
}

// session is a database that is open for writing, in a world.
type session struct {
	*world
	db       *grocksdb.DB
	families map[string]*grocksdb.ColumnFamilyHandle
	write    *grocksdb.WriteOptions
}

func (w *world) open(dir string, names []string) *session {
	options := slices.Repeat([]*grocksdb.Options{w.options}, len(names))
	db, handles, err := grocksdb.OpenDbColumnFamilies(w.options, dir, names, options)
	w.NoError(err)
	s := &session{world: w, db: db, families: make(map[string]*grocksdb.ColumnFamilyHandle), write: grocksdb.NewDefaultWriteOptions()}
	for i, name := range names {
		s.families[name] = handles[i]
	}
	return s
}

func (s *session) close() {
	for _, h := range s.families {
		h.Destroy()
	}
	s.write.Destroy()
	s.db.Close()
}

func (s *session) create(name string) {
	h, err := s.db.CreateColumnFamily(s.options, name)
	s.NoError(err)
	s.families[name] = h
}

func (s *session) drop(name string) {
	s.NoError(s.db.DropColumnFamily(s.families[name]))
	s.families[name].Destroy()
	delete(s.families, name)
}

func (s *session) flush(name string) {
	o := grocksdb.NewDefaultFlushOptions()
	defer o.Destroy()
	s.NoError(s.db.FlushCF(s.families[name], o))
}

// fill makes the database of a shard. With blob files, column families have the
// same ids in all shards, and files have numbers of their own.
func (w *world) fill(n int, h *shard) {
	h.dir, h.model = w.folder("shard"), make(model)
	s := w.open(h.dir, []string{"default"})
	rest := slices.Clone(w.families[1:])
	if !w.blobs {
		w.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	for _, name := range rest {
		if !w.blobs && w.rng.IntN(3) == 0 {
			s.create("gone")
			s.drop("gone")
		}
		s.create(name)
	}
	if w.blobs {
		s.close()
		w.NoError(Shard(h.dir, uint(n+1)))
		s = w.open(h.dir, w.families)
	}
	for _, name := range w.families {
		h.model[name] = make(map[string]string)
	}
	s.change(h.model, h.lower, h.upper, 50+w.rng.IntN(300))
	if w.rng.IntN(5) == 0 {
		s.compact()
	}
	s.close()
}

func (s *session) compact() {
	for _, handle := range s.families {
		s.db.CompactRangeCF(handle, grocksdb.Range{})
	}
}

// change does as many operations on random keys of the groups.
func (s *session) change(m model, lower, upper, operations int) {
	for range operations {
		name := s.world.families[s.rng.IntN(len(s.world.families))]
		s.step(name, m[name], lower, upper)
	}
}

func (s *session) step(name string, m map[string]string, lower, upper int) {
	handle := s.families[name]
	key, value := s.key(lower, upper), s.value()
	switch n := s.rng.IntN(100); {
	case n < 55:
		s.NoError(s.db.PutCF(s.write, handle, []byte(key), []byte(value)))
		m[key] = value
	case n < 75:
		s.NoError(s.db.MergeCF(s.write, handle, []byte(key), []byte(value)))
		if old, ok := m[key]; ok {
			value = old + "," + value
		}
		m[key] = value
	case n < 88:
		s.NoError(s.db.DeleteCF(s.write, handle, []byte(key)))
		delete(m, key)
	case n < 93:
		s.deleteRange(handle, m, key, lower, upper)
	case n < 93+s.flushes:
		s.flush(name)
	case n < 94+s.flushes:
		s.db.CompactRangeCF(handle, grocksdb.Range{Start: []byte(key), Limit: []byte{byte(upper)}})
	}
}

// deleteRange deletes some keys from key on. Now and then the deletion reaches far
// over the keys of the shard, as that of an application may.
func (s *session) deleteRange(handle *grocksdb.ColumnFamilyHandle, m map[string]string, key string, lower, upper int) {
	end := key + "~"
	switch s.rng.IntN(8) {
	case 0:
		end = string([]byte{byte(upper + s.rng.IntN(4))})
	case 1:
		key, end = "", key
	}
	s.NoError(s.db.DeleteRangeCF(s.write, handle, []byte(key), []byte(end)))
	maps.DeleteFunc(m, func(k, _ string) bool { return key <= k && k < end })
}

// ingest brings a table into each column family, with values for some keys of one
// group. It flushes first: RocksDB 7.8 can spoil the order of level 0 otherwise.
func (s *session) ingest(m model, lower, upper int) {
	for _, name := range s.world.families {
		s.flush(name)
		records, group := make(map[string]string), lower+s.rng.IntN(upper-lower)
		for range 1 + s.rng.IntN(20) {
			records[s.key(group, group+1)] = s.value()
		}
		s.ingestTable(name, records)
		maps.Copy(m[name], records)
	}
}

func (s *session) ingestTable(name string, records map[string]string) {
	env, options := grocksdb.NewDefaultEnvOptions(), grocksdb.NewDefaultIngestExternalFileOptions()
	defer env.Destroy()
	defer options.Destroy()
	out := grocksdb.NewSSTFileWriter(env, s.options)
	defer out.Destroy()
	path := s.folder("ingested")
	s.NoError(out.Open(path))
	for _, k := range slices.Sorted(maps.Keys(records)) {
		s.NoError(out.Put([]byte(k), []byte(records[k])))
	}
	s.NoError(out.Finish())
	s.NoError(s.db.IngestExternalFileCF(s.families[name], []string{path}, options))
}

func (w *world) key(lower, upper int) string {
	return fmt.Sprintf("%c%02d", rune(lower+w.rng.IntN(upper-lower)), w.rng.IntN(40))
}

func (w *world) value() string {
	value := make([]byte, 8+w.rng.IntN(120))
	for i := range value {
		value[i] = byte('a' + w.rng.IntN(26))
	}
	return string(value)
}

// check compares the content of an open database with a model, by iterators.
func (s *session) check(want model, stage string) {
	for name, handle := range s.families {
		o := grocksdb.NewDefaultReadOptions()
		o.SetFillCache(true)
		it := s.db.NewIteratorCF(o, handle)
		got := make(map[string]string)
		for it.SeekToFirst(); it.Valid(); it.Next() {
			got[string(it.Key().Data())] = string(it.Value().Data())
		}
		s.NoError(it.Err(), stage)
		s.Equal(want[name], got, "%s: column family %q", stage, name)
		it.Close()
		o.Destroy()
	}
}

// within returns the part of the shards' content that lies in the groups.
func (w *world) within(lower, upper int) model {
	m := make(model)
	for _, name := range w.families {
		m[name] = make(map[string]string)
		for _, h := range w.shards {
			for k, v := range h.model[name] {
				if lower <= int(k[0]) && int(k[0]) < upper {
					m[name][k] = v
				}
			}
		}
	}
	return m
}

// groupRange is the range of the keys of the groups.
func groupRange(lower, upper int) Range {
	r := Range{Lower: []byte{byte(lower)}, Upper: []byte{byte(upper)}}
	if lower == 0 {
		r.Lower = nil
	}
	if upper == groups {
		r.Upper = nil
	}
	return r
}

// cut makes a database of what a shard holds in a range.
func (w *world) cut(h *shard, r Range, subset func(*version.Set, Keep) (*version.Set, error)) Source {
	set, err := version.Read(h.dir)
	w.NoError(err)
	part, err := subset(set, Keep{Range: r})
	w.NoError(err)
	dir := w.folder("part")
	w.NoError(os.Mkdir(dir, 0o700))
	for _, f := range part.Families {
		for _, t := range f.Tables {
			w.NoError(os.Link(filepath.Join(h.dir, t.Name()), filepath.Join(dir, t.Name())))
		}
		for _, b := range f.Blobs {
			w.NoError(os.Link(filepath.Join(h.dir, b.Name()), filepath.Join(dir, b.Name())))
		}
	}
	logs, err := rocks.LiveLogs(h.dir, set)
	w.NoError(err)
	options, err := filepath.Glob(filepath.Join(h.dir, "OPTIONS-*"))
	w.NoError(err)
	for _, name := range append(logs, filepath.Base(options[len(options)-1])) {
		w.copyFile(filepath.Join(h.dir, name), filepath.Join(dir, name))
	}
	w.NoError(WriteManifest(dir, part))
	return w.source(dir)
}

func (w *world) copyFile(from, to string) {
	f, err := os.Open(from)
	w.NoError(err)
	defer f.Close()
	w.NoError(durable.CreateFile(to, 0o600, func(to io.Writer) error {
		_, err := io.Copy(to, f)
		return err
	}))
}

func (w *world) source(dir string) Source {
	set, err := version.Read(dir)
	w.NoError(err)
	text, err := rocks.OptionsText(dir)
	w.NoError(err)
	logs, err := rocks.LiveLogs(dir, set)
	w.NoError(err)
	return Source{Dir: dir, Set: set, Options: text, WAL: len(logs) > 0}
}

// cure does for a source what a curable refusal asks for.
func (w *world) cure(s Source) Source {
	dir := w.folder("cured")
	w.NoError(rocks.CopyLinks(s.Dir, dir))
	db, err := rocks.Open(dir, rocks.Options{})
	w.NoError(err)
	w.NoError(db.Flush())
	for _, name := range w.families {
		w.NoError(db.CompactRange(name, nil, nil))
	}
	w.NoError(db.Close())
	return w.source(dir)
}

// join merges, curing each source once at most for each reason.
func (w *world) join(sources []Source, merge func([]Source) (*Merged, error)) (m *Merged, cured int) {
	done := make(map[string]bool)
	for {
		m, err := merge(sources)
		if err == nil {
			return m, cured
		}
		var r *Refusal
		w.True(errors.As(err, &r) && r.Curable, err)
		what := fmt.Sprint(r.Source, r.Reason)
		w.False(done[what], "%s: refused again: %v", what, err)
		done[what] = true
		sources[r.Source] = w.cure(sources[r.Source])
		cured++
	}
}

// encoded returns what a MANIFEST says of a set.
func (w *world) encoded(set *version.Set) []byte {
	var b bytes.Buffer
	w.NoError(version.Write(&b, set))
	return b.Bytes()
}
