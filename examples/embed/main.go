// Embed is a program with a RocksDB database of its own. It keeps writing while
// rocksnap takes snapshots of it, and then looks into what it restores.
//
// Run it from the top folder of the project, after 'make build':
//
//	go run ./examples/embed
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// batch is how many orders the program writes before and during a snapshot.
const batch = 10_000

func main() {
	if err := run(context.Background(), "examples/embed/rocksnap.toml", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		if hint := host.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "  hint:", hint)
		}
		os.Exit(1)
	}
}

// run starts afresh: it removes what an earlier run left in the data folder.
func run(ctx context.Context, file string, out io.Writer) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	data := filepath.Dir(cfg.Database.Path)
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	db, err := openShop(cfg.Database.Path)
	if err != nil {
		return err
	}
	defer db.close()
	if _, err := host.Init(ctx, cfg, host.InitOptions{}); err != nil {
		return err
	}
	first, second, err := takeTwo(ctx, cfg, db)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the program has written %d orders\n", db.written)
	fmt.Fprintf(out, "the second snapshot reuses files of the first: %t\n", second.BytesReused > 0)
	for i, id := range []string{first.ID, second.ID} {
		orders, err := restore(ctx, cfg, id, filepath.Join(data, "restored", id))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "snapshot %d restores to the first %d orders\n", i+1, orders)
	}
	return nil
}

// takeTwo takes two snapshots, during each of which the program goes on writing.
func takeTwo(ctx context.Context, cfg *config.Config, db *shop) (first, second *host.Manifest, err error) {
	h, err := host.Open(ctx, cfg, host.WithDB(db.rocks, db.families...))
	if err != nil {
		return nil, nil, err
	}
	defer h.Close()
	if err := db.write(batch); err != nil {
		return nil, nil, err
	}
	if first, err = snapshot(ctx, h, db); err != nil {
		return nil, nil, err
	}
	second, err = snapshot(ctx, h, db)
	return first, second, err
}

// snapshot takes a snapshot of all orders written so far, and writes more while
// it is under way.
func snapshot(ctx context.Context, h *host.Host, db *shop) (*host.Manifest, error) {
	op, err := h.Begin(ctx, host.SnapshotOptions{Labels: map[string]string{"from": "embed"}})
	if err != nil {
		return nil, err
	}
	// The instant is captured: these orders belong to the next snapshot.
	if err := db.write(batch); err != nil {
		op.Cancel()
		_, _ = op.Wait() // the failed write is the error to tell
		return nil, err
	}
	return op.Wait()
}

// restore makes a database of a snapshot, which takes no database but only the
// repository, and returns the number of orders in it.
func restore(ctx context.Context, cfg *config.Config, id, target string) (int, error) {
	repository, err := host.OpenRepository(ctx, cfg)
	if err != nil {
		return 0, err
	}
	if _, err := repository.Restore(ctx, host.RestoreOptions{Snapshots: []string{id}, Target: target}); err != nil {
		return 0, err
	}
	db, err := openShop(target)
	if err != nil {
		return 0, err
	}
	defer db.close()
	return db.count()
}

// shop is the program's own database: orders in a column family of their own.
type shop struct {
	rocks    *grocksdb.DB
	families []*grocksdb.ColumnFamilyHandle // default, orders
	written  int
}

func openShop(path string) (*shop, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	options := grocksdb.NewDefaultOptions()
	defer options.Destroy()
	options.SetCreateIfMissing(true)
	options.SetCreateIfMissingColumnFamilies(true)
	names := []string{"default", "orders"}
	db, families, err := grocksdb.OpenDbColumnFamilies(options, path, names, []*grocksdb.Options{options, options})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &shop{rocks: db, families: families}, nil
}

func (s *shop) close() {
	for _, family := range s.families {
		family.Destroy()
	}
	s.rocks.Close()
}

// write adds n orders.
func (s *shop) write(n int) error {
	options := grocksdb.NewDefaultWriteOptions()
	defer options.Destroy()
	for range n {
		key, value := order(s.written)
		if err := s.rocks.PutCF(options, s.families[1], key, value); err != nil {
			return fmt.Errorf("write order %d: %w", s.written, err)
		}
		s.written++
	}
	return nil
}

// count returns the number of orders. One that is not as write made it, or that
// is missing between two others, is an error.
func (s *shop) count() (int, error) {
	options := grocksdb.NewDefaultReadOptions()
	defer options.Destroy()
	scan := s.rocks.NewIteratorCF(options, s.families[1])
	defer scan.Close()
	n := 0
	for scan.SeekToFirst(); scan.Valid(); scan.Next() {
		key, value := scan.Key(), scan.Value()
		wantKey, wantValue := order(n)
		equal := string(key.Data()) == string(wantKey) && string(value.Data()) == string(wantValue)
		key.Free()
		value.Free()
		if !equal {
			return n, fmt.Errorf("order %d is not what was written", n)
		}
		n++
	}
	return n, scan.Err()
}

func order(n int) (key, value []byte) {
	return fmt.Appendf(nil, "order-%08d", n), fmt.Appendf(nil, "customer %d bought %d pieces", n%977, 1+n%7)
}
