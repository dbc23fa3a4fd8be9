package surgery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

const (
	shardBits = 40 // of the file numbers of one shard

	// RocksDB keeps two bits of a file number for itself (FileDescriptor in
	// db/version_edit.h).
	numberBits = 62

	// MaxShard is the highest number that a shard can have.
	MaxShard = 1<<(numberBits-shardBits) - 1
)

// ErrSharded reports a database whose file numbers can no longer be moved into a
// space of their own.
var ErrSharded = errors.New("file numbers are given out already")

// Shard gives a closed database a space of file numbers of its own: those from
// n << 40 on. Blob files cannot be renumbered, since values refer to them by
// number, so only databases of different spaces can be merged for certain. Every
// database begins in space 0. Where the next number lies in the space already,
// there is nothing to do; it fails with [ErrSharded] when the database has blob
// files, or has given out higher numbers.
func Shard(dir string, n uint) error {
	if n > MaxShard {
		return fmt.Errorf("shard %d: the highest is %d", n, MaxShard)
	}
	set, err := version.Read(dir)
	if err != nil {
		return fmt.Errorf("shard %s: %w", dir, err)
	}
	if set.Tail > 0 {
		return fmt.Errorf("shard %s: %w: its MANIFEST ends within an edit", dir, version.ErrCorrupt)
	}
	if set.NextFile>>shardBits == uint64(n) {
		return nil
	}
	first := uint64(n) << shardBits
	if set.NextFile > first || hasBlobs(set) {
		return fmt.Errorf("shard %s: %w: the next one is %d, and a space of its own begins with %d", dir, ErrSharded, set.NextFile, first)
	}
	if err := appendTo(filepath.Join(dir, set.Manifest), version.EncodeNextFile(set.ManifestBytes, first)); err != nil {
		return fmt.Errorf("shard %s: %w", dir, err)
	}
	return nil
}

func hasBlobs(set *version.Set) bool {
	for _, f := range set.Families {
		if len(f.Blobs) > 0 {
			return true
		}
	}
	return false
}

// appendTo appends to a file durably. If it breaks off, RocksDB passes over the
// unfinished edit.
func appendTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	err = durable.Change("append", path, func() error {
		_, err := f.Write(b)
		return err
	})
	if err == nil {
		err = durable.Change("sync", path, f.Sync)
	}
	return errors.Join(err, f.Close())
}
