package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ours is the name of the first contender of each case.
const ours = "rocksnap"

// Cases lists all cases, in the order of the report.
func Cases() []Case {
	return slices.Concat(fileCases(), recordCases(), bucketCases(), taxCases(), []Case{uploadCase}, scaleCases(), memoryCases())
}

// Choose returns the cases with the given names, and all for none.
func Choose(names []string) ([]Case, error) {
	all := Cases()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Case
	for _, name := range names {
		i := slices.IndexFunc(all, func(c Case) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no case %q; see 'rocksnap bench --list'", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// The others' names in tables and bars.
const (
	engineDefaults = "BackupEngine, defaults"
	engineTwo      = "BackupEngine, 2 threads, sync"
	engineFour     = "BackupEngine, 4 threads, sync"
	copies         = "cp -r, sync"
	copiesEach     = "cp -r, sync of each file"
	copyOfNew      = "checkpoint, and a copy of new files, synced"
	iterator       = "C++ iterator"
	binding        = "grocksdb iterator"
	puts           = "C++, batched puts"
	ldbLoad        = "ldb load"
	rclone         = "rclone, 4 transfers"
	restic         = "restic, no compression"
	native         = "rocksnap without a sandbox"
	oneCore        = "rocksnap, one core"
	checkpoint     = "RocksDB's checkpoint"
	unchanged      = "rocksnap, nothing changed"
	firstLook      = "rocksnap, on a machine that has not seen it"
	quarterSize    = "rocksnap, a quarter of the size"
)

func fileCases() []Case {
	engines := []string{engineDefaults, engineTwo, engineFour}
	return []Case{
		{
			Name: "full-directory", About: "native-full into an empty repository in a directory, every byte hashed and synced",
			Contenders: full,
			Bars:       []Bar{{Of: []string{engineDefaults}, Factor: 1 / 4.0}, {Of: engines, Factor: 1 / 1.2}, {Of: []string{copies, copiesEach}, Factor: 1}},
		},
		{
			Name: "no-change-40", About: "incremental, 40 SSTs, nothing has changed since the last snapshot",
			Contenders: noChange,
			Bars:       []Bar{{Slack: 20 * time.Millisecond}},
		},
		{
			Name: "no-change-10000", About: "incremental, 10,000 SSTs, nothing has changed since the last snapshot",
			Contenders: noChangeOfMany,
			Bars:       []Bar{{Of: []string{engineDefaults}, Factor: 1, Slack: 20 * time.Millisecond}},
		},
		{
			Name: "rewritten-1-percent", About: "incremental, after a hundredth of the records was written again",
			Contenders: rewritten,
			Bars:       []Bar{{Of: []string{copyOfNew}, Factor: 1.2}},
		},
		{
			Name: "restore-directory", About: "a native snapshot in a directory into an empty directory, every digest checked, all of it synced",
			Contenders: restored,
			Bars:       []Bar{{Of: []string{engineDefaults}, Factor: 1 / 3.0}, {Of: []string{engineTwo}, Factor: 1 / 1.5}},
		},
		{
			Name: "verify-directory", About: "every byte of a native snapshot is read from the page cache, and its digests checked",
			Contenders: verified,
			Bars:       []Bar{{Of: []string{engineDefaults}, Factor: 1 / 2.0}},
		},
	}
}

func recordCases() []Case {
	return []Case{
		{
			Name: "scan-one-core", About: "all records of a database of half the size, values of 100 bytes, read in order on one core",
			Contenders: scanned,
			Bars:       []Bar{{Of: []string{iterator}, Factor: 1 / 0.9}, {Of: []string{binding}, Factor: 1 / 2.0}},
		},
		{
			Name: "canonical-cores", About: "canonical into an empty repository in a directory, a database of half the size, values of 100 bytes, both cores or one",
			Contenders: canonicalCores,
			Bars:       []Bar{{Of: []string{oneCore}, Factor: 1 / 1.5}},
		},
		{
			Name: "canonical-restore", About: "a canonical snapshot of a quarter of the size in a directory into a new database, values of 100 bytes",
			Contenders: canonicalRestored,
			Bars:       []Bar{{Of: []string{puts}, Factor: 1 / 3.0}, {Of: []string{ldbLoad}, Factor: 1 / 3.0}},
		},
	}
}

// records is the database of cases about single records: they are small, and many.
func (g *Ground) records() Shape {
	s := g.shape()
	s.ValueBytes, s.Bytes = 100, g.Size/2
	return s
}

// fair wraps a contender, so that each starts with a settled file system and with
// folders in the page cache, and gives it the name of the table.
func (g *Ground) fair(name string, c Contender, warm ...string) Contender {
	before := c.Before
	c.Name = name
	c.Before = func(ctx context.Context) error {
		if before != nil {
			if err := before(ctx); err != nil {
				return err
			}
		}
		return g.settle(warm...)
	}
	return c
}

// once has a contender do its work, as a start for others; nothing when it is missing.
func once(ctx context.Context, c Contender) error {
	if c.Missing != "" {
		return nil
	}
	if c.Before != nil {
		if err := c.Before(ctx); err != nil {
			return err
		}
	}
	_, err := c.Run(ctx)
	return err
}
