package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

func (c *cli) dbStatVerb() *cobra.Command {
	var db string
	cmd := verb("stat", "Show what a database consists of", `Shows the column families of a database with the files and bytes of each level,
its blob files and its write-ahead log. Records are RocksDB's estimate. Nothing
is changed.

Exit status: 0 ok, 1 failed, 2 usage, 11 locked, 130 interrupted.`,
		`  rocksnap db stat --db data/db`, cobra.NoArgs,
		func(*cobra.Command, []string) error {
			path, err := c.database(db)
			if err != nil {
				return err
			}
			doc, err := stat(path)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(doc)
			}
			return c.printStat(doc)
		})
	cmd.Flags().StringVar(&db, "db", "", "`DIR` of the database; the configured one by default")
	return cmd
}

type statDocument struct {
	Schema       string       `json:"schema"`
	DB           string       `json:"db"`
	Identity     string       `json:"identity"`
	LastSequence uint64       `json:"last_sequence"` // without the write-ahead log
	WAL          volume       `json:"wal"`
	Families     []familyStat `json:"column_families"`
}

type familyStat struct {
	Name       string      `json:"name"`
	Comparator string      `json:"comparator"`
	Records    uint64      `json:"records_estimate"`
	Levels     []levelStat `json:"levels"` // those with files
	Blobs      volume      `json:"blob_files"`
}

type levelStat struct {
	Level int `json:"level"`
	volume
}

// volume is a number of files and their bytes.
type volume struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (v *volume) add(bytes int64) {
	v.Files++
	v.Bytes += bytes
}

// stat describes a database, which no process may have open meanwhile.
func stat(path string) (*statDocument, error) {
	db, err := rocks.OpenOffline(path)
	if err != nil {
		return nil, openProblem(path, err)
	}
	defer db.Close()
	identity, err := db.Identity()
	if err != nil {
		return nil, err
	}
	set, err := version.Read(path)
	if err != nil {
		return nil, err
	}
	view, err := db.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	doc := &statDocument{Schema: "rocksnap.db-stat/1", DB: path, Identity: identity, LastSequence: set.LastSequence}
	if doc.WAL, err = logs(path, set.MinLogToKeep); err != nil {
		return nil, err
	}
	for _, f := range set.Families {
		i := slices.IndexFunc(view.Families(), func(v rocks.Family) bool { return v.ID == f.ID })
		one, err := statFamily(path, f, view.Families()[i].Records)
		if err != nil {
			return nil, err
		}
		doc.Families = append(doc.Families, one)
	}
	return doc, nil
}

// logs counts the live files of the write-ahead log.
func logs(path string, lowest uint64) (volume, error) {
	var v volume
	entries, err := os.ReadDir(path)
	if err != nil {
		return v, fmt.Errorf("read database: %w", err)
	}
	for _, e := range entries {
		kind, number, ok := version.FileKind(e.Name())
		if !ok || kind != abi.KindWAL || number < lowest {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return v, fmt.Errorf("read database: %w", err)
		}
		v.add(info.Size())
	}
	return v, nil
}

func statFamily(path string, f version.Family, records uint64) (familyStat, error) {
	s := familyStat{Name: f.Name, Comparator: f.Comparator, Records: records, Levels: []levelStat{}}
	levels := make(map[int]*levelStat)
	for _, t := range f.Tables {
		if levels[t.Level] == nil {
			levels[t.Level] = &levelStat{Level: t.Level}
		}
		levels[t.Level].add(t.Size)
	}
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		s.Levels = append(s.Levels, *levels[level])
	}
	for _, b := range f.Blobs {
		info, err := os.Stat(filepath.Join(path, b.Name()))
		if err != nil {
			return s, fmt.Errorf("read database: %w", err)
		}
		s.Blobs.add(info.Size())
	}
	return s, nil
}

func (c *cli) printStat(doc *statDocument) error {
	t := c.table()
	t.row("database", doc.DB)
	t.row("identity", doc.Identity)
	t.row("last sequence", doc.LastSequence)
	t.row("write-ahead log", count(doc.WAL.Files, "file")+", "+size(doc.WAL.Bytes))
	t.row()
	t.row("COLUMN FAMILY", "RECORDS", "LEVEL", "FILES", "BYTES")
	for _, f := range doc.Families {
		name, records := f.Name, fmt.Sprintf("~%d", f.Records)
		for _, l := range f.Levels {
			t.row(name, records, l.Level, l.Files, size(l.Bytes))
			name, records = "", ""
		}
		if f.Blobs.Files > 0 || len(f.Levels) == 0 { // a family without files has its row as well
			t.row(name, records, "blob", f.Blobs.Files, size(f.Blobs.Bytes))
		}
	}
	return t.flush()
}
