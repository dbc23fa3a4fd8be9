package bbolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/sink"
)

const (
	// patience is how long a reader waits for the lock of the file. bbolt has no
	// way to ask for it once only.
	patience = 100 * time.Millisecond

	// readBlock is about the size of the blocks that Read gives out.
	readBlock = 256 << 10
)

// Read implements sink.Kind.
func (Kind) Read(ctx context.Context, dir string, visit sink.Visit) (err error) {
	path := filepath.Join(dir, File)
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			return readBucket(ctx, string(name), bucket, visit)
		})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func open(path string) (db *bbolt.DB, err error) {
	defer orDamage(&err)()
	return bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: patience})
}

func readBucket(ctx context.Context, family string, bucket *bbolt.Bucket, visit sink.Visit) error {
	out := sink.NewBlocks(family, readBlock, visit)
	records := bucket.Cursor()
	key, value, err := step(records.First)
	for ; key != nil && err == nil; key, value, err = step(records.Next) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := out.Add(key, value); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// step moves a cursor.
func step(move func() (key, value []byte)) (key, value []byte, err error) {
	defer orDamage(&err)()
	key, value = move()
	return key, value, nil
}

// orDamage turns a panic into an error: bbolt checks nothing of what it maps into
// memory, and stumbles over what it cannot be.
func orDamage(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if what := recover(); what != nil {
			*err = fmt.Errorf("%v: %w", what, abi.ECORRUPT)
		}
	}
}
