package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/surgery"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

func (c *cli) dbVerbs() *cobra.Command {
	return group("db", "Write sample or real data into a database, and look at it", `Verbs that work on a database itself, for trying rocksnap out and for tests. With
--db they need no configuration.

Exit status: 0 ok, 1 failed, 2 usage, 11 locked, 130 interrupted.`,
		`  rocksnap db load ./docs --db data/db
  rocksnap db stat --db data/db`, c.dbLoadVerb(), c.dbFillVerb(), c.dbStatVerb())
}

// place completes where db load and db fill write from the configuration, unless
// --db says it.
func (c *cli) place(d *destination) (string, error) {
	if d.db != "" {
		return d.db, nil
	}
	cfg, err := config.Load(c.config)
	if err != nil {
		return "", err
	}
	if d.shard == 0 {
		d.shard = uint(cfg.Database.Shard)
	}
	return cfg.Database.Path, nil
}

// database returns the folder that --db names, or else the configured one.
func (c *cli) database(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	cfg, err := config.Load(c.config)
	if err != nil {
		return "", err
	}
	return cfg.Database.Path, nil
}

// destination says where db load and db fill write.
type destination struct {
	db       string
	family   string
	prefix   string
	creation rocks.Creation
	shard    uint // of a new database
}

func (d *destination) flags(f *pflag.FlagSet) {
	f.StringVar(&d.db, "db", "", "`DIR` of the database, made when it is missing; the configured one by default")
	f.StringVar(&d.family, "column-family", "default", "`NAME` of the column family to write to")
	f.StringVar(&d.prefix, "prefix", "", "`TEXT` before every key")
	f.StringArrayVar(&d.creation.Families, "create-column-family", nil, "`NAME` of a column family of a new database; repeatable")
	f.StringVar(&d.creation.Compression, "compression", "", "`CODEC` of a new database: none, snappy, lz4 or zstd")
	f.UintVar(&d.shard, "shard", 0, "give a new database file numbers from `N` << 40 on")
	f.BoolVar(&d.creation.BlobFiles, "blob-files", false, "have a new database keep its values in blob files")
}

// refuseCreation fails when a flag describes a new database, and there is one.
func (d *destination) refuseCreation(cmd *cobra.Command, path string) error {
	if _, err := version.Read(path); err != nil {
		return nil // there is none, or opening it tells what is wrong
	}
	for _, flag := range []string{"create-column-family", "compression", "shard", "blob-files"} {
		if cmd.Flags().Changed(flag) {
			return usage(cmd, "--%s is for a new database, and there is one at %s", flag, path)
		}
	}
	return nil
}

// batchBytes is the size of a batch: large enough that its cost vanishes.
const batchBytes = 4 << 20

// writer packs records into batches for a column family.
type writer struct {
	ctx     context.Context
	db      *rocks.DB
	to      *destination
	batch   []byte
	records int
	bytes   int64 // of keys and values
	start   time.Time
}

// write opens the destination, has produce put records into it, and prints how
// many there were. What was written before an error stays.
func (c *cli) write(cmd *cobra.Command, d *destination, schema string, produce func(*writer) error) error {
	path, err := c.place(d)
	if err != nil {
		return err
	}
	if err := d.refuseCreation(cmd, path); err != nil {
		return err
	}
	db, err := d.open(path)
	if err != nil {
		return openProblem(path, err)
	}
	defer db.Close()
	w := &writer{ctx: cmd.Context(), db: db, to: d, start: time.Now()}
	if err := produce(w); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	return c.printWritten(schema, path, w)
}

// open opens the database, and makes it when it is missing. File numbers are moved
// while it is closed.
func (d *destination) open(path string) (*rocks.DB, error) {
	_, missing := version.Read(path)
	db, err := rocks.Open(path, rocks.Options{CreateIfMissing: true, Creation: d.creation})
	if err != nil || d.shard == 0 || !errors.Is(missing, fs.ErrNotExist) {
		return db, err
	}
	if err := errors.Join(db.Close(), surgery.Shard(path, d.shard)); err != nil {
		return nil, err
	}
	return rocks.Open(path, rocks.Options{})
}

// openProblem gives an error of opening a database its code and hint, as the host
// does where a configuration names the database.
func openProblem(path string, err error) error {
	switch {
	case errors.Is(err, rocks.ErrLocked):
		return &host.Problem{Code: host.CodeFenced, Err: err, Hint: "another process has it open; stop that one"}
	case errors.Is(err, fs.ErrInvalid): // the compression is the one choice that can be
		return &host.Problem{Code: host.CodeUsage, Err: err, Hint: "use none, snappy, lz4 or zstd"}
	case errors.Is(err, fs.ErrNotExist):
		err := fmt.Errorf("open database: no RocksDB database at %s", path)
		return &host.Problem{Code: host.CodeFailed, Err: err, Hint: "name the database with --db, or make one with 'rocksnap db load'"}
	}
	return err
}

// put adds a record.
func (w *writer) put(key string, value []byte) error {
	if len(w.to.prefix)+len(key)+len(value) > math.MaxInt32 {
		return fmt.Errorf("record %q is larger than 2 GiB", key)
	}
	full := append([]byte(w.to.prefix), key...)
	w.batch = canonical.AppendRecord(w.batch, full, value)
	w.records++
	w.bytes += int64(len(full) + len(value))
	if len(w.batch) < batchBytes {
		return nil
	}
	return w.send()
}

func (w *writer) send() error {
	if err := w.ctx.Err(); err != nil || len(w.batch) == 0 {
		return err
	}
	err := w.db.PutBlock(w.to.family, w.batch)
	if errors.Is(err, fs.ErrNotExist) {
		return &host.Problem{Code: host.CodeUsage, Err: err, Hint: "column families are made with a new database, by --create-column-family"}
	}
	if err != nil {
		return err
	}
	w.batch = w.batch[:0]
	return nil
}

func (w *writer) finish() error {
	if err := w.send(); err != nil {
		return err
	}
	return w.db.Flush()
}

type writtenDocument struct {
	Schema  string  `json:"schema"`
	DB      string  `json:"db"`
	Records int     `json:"records"`
	Bytes   int64   `json:"bytes"`
	TotalMs float64 `json:"total_ms"`
}

func (c *cli) printWritten(schema, path string, w *writer) error {
	took := time.Since(w.start)
	if c.json {
		return c.print(writtenDocument{schema, path, w.records, w.bytes, milliseconds(took)})
	}
	_, err := fmt.Fprintf(c.out, "wrote %s, %s%s, to %s\n", count(w.records, "record"), size(w.bytes), rate(w.bytes, took), path)
	return err
}
