//go:build cgo

package rocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/linxGnu/grocksdb"
)

var compressions = map[string]grocksdb.CompressionType{
	"none":   grocksdb.NoCompression,
	"snappy": grocksdb.SnappyCompression,
	"lz4":    grocksdb.LZ4Compression,
	"zstd":   grocksdb.ZSTDCompression,
}

func (c Creation) options() (*grocksdb.Options, error) {
	o := grocksdb.NewDefaultOptions()
	if c.Compression != "" {
		kind, ok := compressions[c.Compression]
		if !ok {
			o.Destroy()
			return nil, fmt.Errorf("unknown compression %q: %w", c.Compression, fs.ErrInvalid)
		}
		o.SetCompression(kind)
	}
	if c.WriteBufferBytes > 0 {
		o.SetWriteBufferSize(c.WriteBufferBytes)
	}
	if c.TableBytes > 0 {
		o.SetTargetFileSizeBase(c.TableBytes)
	}
	o.EnableBlobFiles(c.BlobFiles)
	o.SetMinBlobSize(c.MinBlobBytes)
	return o, nil
}

func (c Creation) create(path string) (*DB, error) {
	options, err := c.options()
	if err != nil {
		return nil, fmt.Errorf("create database %s: %w", path, err)
	}
	defer options.Destroy()
	names := withDefault(c.Families)
	return create(path, options, names, slices.Repeat([]*grocksdb.Options{options}, len(names)))
}

// Create makes a new database in a directory that is absent or empty, with the
// options that the text of a RocksDB OPTIONS file gives; an empty text stands for
// RocksDB's defaults. A column family that the text does not know gets the
// options of "default". Comparators and other code that is not part of RocksDB
// are left out: compare the names of comparators before relying on key order. It
// fails with fs.ErrExist when the directory holds anything.
func Create(path, optionsText string, families []string) (*DB, error) {
	if optionsText == "" {
		return Creation{Families: families}.create(path)
	}
	s, err := textSettings(optionsText)
	if err != nil {
		return nil, fmt.Errorf("create database %s: %w", path, err)
	}
	defer s.close()
	names := withDefault(families)
	for _, name := range names {
		if s.families[name] == nil {
			s.families[name] = s.families[defaultFamily]
		}
	}
	options, err := s.of(names)
	if err != nil {
		return nil, fmt.Errorf("create database %s: %w", path, err)
	}
	return create(path, s.database, names, options)
}

func create(path string, database *grocksdb.Options, names []string, families []*grocksdb.Options) (*DB, error) {
	path, err := vacant(path)
	if err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	database.SetCreateIfMissing(true)
	database.SetCreateIfMissingColumnFamilies(true)
	h := Expiry{}.horizon()
	db, handles, err := h.open(database, path, names, families)
	if err != nil {
		h.close()
		return nil, fmt.Errorf("create database %s: %w", path, classify(err))
	}
	return &DB{path: path, instance: newInstance(db, handles), horizon: h}, nil
}

// vacant makes the directory at path and returns its absolute path. It fails
// with fs.ErrExist when something is there: RocksDB would adopt, or delete, it.
func vacant(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("directory %s is not empty: %w", path, fs.ErrExist)
	}
	return path, os.MkdirAll(path, 0o755)
}

func withDefault(families []string) []string {
	names := []string{defaultFamily}
	for _, name := range families {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
