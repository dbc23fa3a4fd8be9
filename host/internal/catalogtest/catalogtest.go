// Package catalogtest makes catalogs of many snapshots, for tests and for the
// benchmark.
package catalogtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// Shape says how large a catalog is. A snapshot is taken every hour, and the oldest
// files of the one before give way to new ones.
type Shape struct {
	Snapshots int
	Files     int // of each snapshot
	New       int // of these, not in the snapshot before
}

// parallel is how many objects are created at a time.
const parallel = 32

// Fill makes a repository of an empty store, with the snapshots of one database.
// Every object that they name is there, of 16 bytes each. The entries come from a
// catalog in memory, and are copied: that is the same history without its waits.
func Fill(ctx context.Context, store blob.Store, database string, s Shape) error {
	format := catalog.Format{}
	staging := &recorder{Store: mem.New()}
	if _, err := catalog.Init(ctx, staging, format); err != nil {
		return fmt.Errorf("fill catalog: %w", err)
	}
	made := &maker{database: database, shape: s, target: store}
	if err := made.commit(ctx, staging); err != nil {
		return fmt.Errorf("fill catalog: %w", err)
	}
	if err := made.copy(ctx, staging.created); err != nil {
		return fmt.Errorf("fill catalog: %w", err)
	}
	return nil
}

// recorder remembers what was created.
type recorder struct {
	blob.Store
	mu      sync.Mutex
	created []object
}

type object struct {
	name string
	data []byte
}

func (r *recorder) Create(ctx context.Context, name string, content io.Reader) error {
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if err := r.Store.Create(ctx, name, bytes.NewReader(data)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = append(r.created, object{name, data})
	return nil
}

type maker struct {
	database string
	shape    Shape
	target   blob.Store
	objects  []object
	live     []catalog.File // of the newest snapshot
	last     string         // its id
	number   uint64         // of the newest file
}

func (m *maker) commit(ctx context.Context, staging blob.Store) error {
	c, err := catalog.Open(ctx, staging, m.database)
	if err != nil {
		return err
	}
	w, err := c.Acquire(ctx, catalog.Owner{Host: "catalogtest"})
	if err != nil {
		return err
	}
	session, err := w.Begin(ctx, uuid.NewString())
	if err != nil {
		return err
	}
	start := time.Now().Add(-time.Duration(m.shape.Snapshots) * time.Hour).UTC()
	for i := range m.shape.Snapshots {
		if err := session.Commit(ctx, m.manifest(start.Add(time.Duration(i)*time.Hour))); err != nil {
			return err
		}
	}
	return session.Close(ctx, nil)
}

// manifest makes the next snapshot.
func (m *maker) manifest(at time.Time) *catalog.Manifest {
	next := &catalog.Manifest{
		Summary: catalog.Summary{
			ID: uuid.Must(uuid.NewV7()).String(), Database: m.database, Lineage: uuid.NewSHA1(uuid.Nil, []byte(m.database)).String(),
			Created: at, Kind: catalog.KindNative, Strategy: catalog.Strategy{Name: "incremental", ABI: "1.0"}, Base: m.last,
		},
		Detail: catalog.Detail{
			RocksDB:  "7.8.3",
			Families: []catalog.Family{{Name: "default", Comparator: "leveldb.BytewiseComparator"}},
		},
	}
	fresh := m.shape.New
	if m.last == "" {
		fresh = m.shape.Files
	}
	for i := range m.live {
		m.live[i].Reused = true
	}
	for range fresh {
		m.live = append(m.live, m.file(next.ID))
	}
	m.live = m.live[max(0, len(m.live)-m.shape.Files):]
	next.Contents = append(next.Contents, m.live...)
	next.SumUp()
	m.last = next.ID
	return next
}

// file makes a new file and its object.
func (m *maker) file(session string) catalog.File {
	m.number++
	data := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, m.number), m.number)
	digest := blake3.Sum256(data)
	o := object{catalog.ObjectName(session, int(m.number)), data}
	m.objects = append(m.objects, o)
	return catalog.File{
		Name: fmt.Sprintf("%06d.sst", m.number), Kind: abi.KindTable, Scope: abi.ScopeShared, Object: o.name,
		Size: int64(len(data)), Digest: hex.EncodeToString(digest[:]), CRC32C: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)),
		Identity: hex.EncodeToString(digest[:16]), Number: m.number, Family: "default", Level: 6,
		SmallestKey: data[:8], LargestKey: data, SmallestSeq: m.number, LargestSeq: m.number + 1,
	}
}

// copy puts everything into the target, what the entries name first.
func (m *maker) copy(ctx context.Context, created []object) error {
	for _, list := range [][]object{m.objects, kept(created)} {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, o := range list {
			group.Go(func() error { return m.target.Create(ctx, o.name, bytes.NewReader(o.data)) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// kept leaves out the session's intent, which is withdrawn in the end.
func kept(created []object) []object {
	var list []object
	for _, o := range created {
		if catalog.IsEntry(o.name) || o.name == "format.json" {
			list = append(list, o)
		}
	}
	return list
}
