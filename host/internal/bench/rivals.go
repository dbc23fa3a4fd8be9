package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Tools is the folder of the programs that rocksnap is compared with. What is not
// in it is looked for in PATH.
type Tools string

const (
	rocksdbProgram = "rocksdb-bench"
	installThem    = "'make bench-deps' installs it"
)

// find returns the path of a program, or why it is missing.
func (t Tools) find(name string) (path, missing string) {
	path = filepath.Join(string(t), name)
	if _, err := os.Stat(path); err == nil {
		return path, ""
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Sprintf("%s is not here: %s", name, installThem)
	}
	return path, ""
}

// run runs a program to its end. What it says becomes part of the error.
func run(ctx context.Context, in io.Reader, env []string, program string, args ...string) (out []byte, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isTheirs), env...)
	cmd.Stdin = in
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// isTheirs tells the variables by which a user configures the programs: nobody runs
// with other settings than are written here.
func isTheirs(variable string) bool {
	return slices.ContainsFunc([]string{"RCLONE_", "RESTIC_", "AWS_"}, func(start string) bool { return strings.HasPrefix(variable, start) })
}

// native has the C++ program do its work and takes its word for the time, which is
// that of the call alone.
func (t Tools) native(before func(context.Context) error, verb string, args ...string) Contender {
	program, missing := t.find(rocksdbProgram)
	return Contender{Missing: missing, Before: before, Run: func(ctx context.Context) (Measure, error) {
		return nativeMeasure(ctx, program, verb, args...)
	}}
}

func nativeMeasure(ctx context.Context, program, verb string, args ...string) (Measure, error) {
	out, err := run(ctx, nil, nil, program, append([]string{verb}, args...)...)
	if err != nil {
		return Measure{}, err
	}
	var told struct {
		Took  int64 `json:"took_ns"`
		Bytes int64 `json:"bytes"`
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return Measure{}, fmt.Errorf("%s %s: %w", rocksdbProgram, verb, err)
	}
	return Measure{Took: time.Duration(told.Took), Bytes: told.Bytes}, nil
}

// without removes folders before each run.
func without(folders ...string) func(context.Context) error {
	return func(context.Context) error {
		var errs []error
		for _, folder := range folders {
			errs = append(errs, os.RemoveAll(folder))
		}
		return errors.Join(errs...)
	}
}

// proven has a contender fail when the work turns out not to be done: nobody wins by
// leaving something out. Looking is not timed.
func proven(c Contender, prove func(context.Context, Measure) error) Contender {
	do := c.Run
	c.Run = func(ctx context.Context) (Measure, error) {
		m, err := do(ctx)
		if err == nil {
			err = prove(ctx, m)
		}
		return m, err
	}
	return c
}

// asLarge proves that there is as much in a folder as in the tables of a database.
func asLarge(c Contender, target, source string) Contender {
	return proven(c, func(context.Context, Measure) error {
		want, err := tablesOf(source)
		if err != nil {
			return err
		}
		return holds(target, want)
	})
}

// holds checks that a folder has that many bytes at least.
func holds(folder string, want int64) error {
	got, err := sizeOf(folder)
	if err == nil && got < want {
		err = fmt.Errorf("%s holds %d bytes, of %d at least", folder, got, want)
	}
	return err
}

// tablesOf adds up the tables of a database, which nothing makes smaller.
func tablesOf(db string) (total int64, err error) {
	entries, err := os.ReadDir(db)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && isTable(e) {
			total += info.Size()
		}
	}
	return total, err
}

func flag(b bool) string { return map[bool]string{false: "0", true: "1"}[b] }

// BackupEngineCreate backs a closed database up into an empty folder. The engine's
// own defaults are one thread, and sync.
func (t Tools) BackupEngineCreate(db, backups string, threads int, sync bool) Contender {
	c := t.native(without(backups), "backup", db, backups, strconv.Itoa(threads), flag(sync))
	return asLarge(c, backups, db)
}

// BackupEngineAgain adds a backup to a folder that holds one; what was added before is
// removed each time.
func (t Tools) BackupEngineAgain(db, backups string, threads int, sync bool) Contender {
	c := t.native(nil, "backup", db, backups, strconv.Itoa(threads), flag(sync))
	c.Before = func(ctx context.Context) error {
		_, err := t.native(nil, "forget", backups, "1").Run(ctx)
		return err
	}
	return asLarge(c, backups, db)
}

// BackupEngineRestore restores the newest backup into a new database.
func (t Tools) BackupEngineRestore(backups, db string, threads int) Contender {
	c := t.native(without(db), "restore", backups, db, strconv.Itoa(threads))
	return proven(c, func(_ context.Context, m Measure) error { return holds(db, m.Bytes) })
}

// BackupEngineVerify reads the newest backup and checks its checksums. RocksDB does it
// in one thread, however many it has.
func (t Tools) BackupEngineVerify(backups string) Contender {
	return t.native(nil, "verify", backups, "1")
}

// Scan reads every record by an iterator in C++, with checksums, as by default, and
// with the readahead that rocksnap has.
func (t Tools) Scan(db string) Contender { return t.native(nil, "scan", db) }

// ScanBinding reads every record by the iterator of the Go binding.
func ScanBinding(db string) Contender {
	return Contender{Run: func(context.Context) (Measure, error) {
		took, bytes, err := rocks.PlainScan(db)
		return Measure{Took: took, Bytes: bytes}, err
	}}
}

// Puts writes every record of a database into a new one with its options, in batches
// of 1,000, without a log, and flushes. Reading them is not timed.
func (t Tools) Puts(from, db string) Contender { return t.native(without(db), "puts", from, db) }

// Checkpoint makes RocksDB's own checkpoint of a closed database; opening it is not timed.
func (t Tools) Checkpoint(db, dir string) Contender {
	return asLarge(t.native(without(dir), "checkpoint", db, dir), dir, db)
}

// Copy copies a closed database and has its file system write everything down: what
// a careful script does. It waits for what others write there, too.
func (t Tools) Copy(db, target string) Contender {
	return copyAndSync(db, target, "sync", "-f", target)
}

// CopyEach copies a closed database and syncs each file and folder of the copy by
// itself: nothing that others write is waited for.
func (t Tools) CopyEach(db, target string) Contender {
	return copyAndSync(db, target, "find", target, "-exec", "sync", "{}", "+")
}

func copyAndSync(db, target string, sync ...string) Contender {
	c := Contender{Before: without(target), Run: func(ctx context.Context) (Measure, error) {
		size, err := sizeOf(db)
		if err != nil {
			return Measure{}, err
		}
		return timed(size, func() error {
			if _, err := run(ctx, nil, nil, "cp", "-r", db, target); err != nil {
				return err
			}
			_, err := run(ctx, nil, nil, sync[0], sync[1:]...)
			return err
		})
	}}
	return asLarge(c, target, db)
}
