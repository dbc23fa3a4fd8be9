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
		families, err := buckets(tx)
		for _, family := range families {
			if err == nil {
				err = readBucket(ctx, tx, family, visit)
			}
		}
		return err
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

func buckets(tx *bbolt.Tx) (families []string, err error) {
	defer orDamage(&err)()
	err = tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		families = append(families, string(name))
		return nil
	})
	return families, err
}

func readBucket(ctx context.Context, tx *bbolt.Tx, family string, visit sink.Visit) error {
	out := sink.NewBlocks(family, readBlock, visit)
	records, err := newCursor(tx, family)
	if err != nil {
		return err
	}
	there, err := records.step(records.First)
	for ; there && err == nil; there, err = records.step(records.Next) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := out.Add(records.key, records.value); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// cursor copies what it comes to: the file may turn out to end within a record.
type cursor struct {
	*bbolt.Cursor
	key, value []byte
}

func newCursor(tx *bbolt.Tx, family string) (c *cursor, err error) {
	defer orDamage(&err)()
	return &cursor{Cursor: tx.Bucket([]byte(family)).Cursor()}, nil
}

// step moves the cursor and tells whether there is a record.
func (c *cursor) step(move func() (key, value []byte)) (there bool, err error) {
	defer orDamage(&err)()
	key, value := move()
	c.key, c.value = append(c.key[:0], key...), append(c.value[:0], value...)
	return key != nil, nil
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
