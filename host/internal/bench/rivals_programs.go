package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// program is a contender that is a program of somebody else's. It is timed as a whole
// process: to start takes it some milliseconds, which nobody's daily run is spared.
func (t Tools) program(name string, before func(context.Context) error, in string, env []string, args ...string) Contender {
	path, missing := t.find(name)
	return Contender{Missing: missing, Before: before, Run: func(ctx context.Context) (Measure, error) {
		stdin, err := input(in)
		if err != nil {
			return Measure{}, err
		}
		defer stdin.Close()
		return timed(0, func() error {
			_, err := run(ctx, stdin, env, path, args...)
			return err
		})
	}}
}

// input opens a file, or what is empty for "".
func input(path string) (*os.File, error) {
	if path == "" {
		path = os.DevNull
	}
	return os.Open(path)
}

// LdbBackup has RocksDB's tool make a backup of a closed database.
func (t Tools) LdbBackup(db, backups string) Contender {
	c := t.program("ldb", without(backups), "", nil, "backup", "--db="+db, "--backup_dir="+backups, "--num_threads=1")
	return asLarge(c, backups, db)
}

// LdbRestore has RocksDB's tool restore the newest backup.
func (t Tools) LdbRestore(backups, db string) Contender {
	c := t.program("ldb", without(db), "", nil, "restore", "--db="+db, "--backup_dir="+backups, "--num_threads=1")
	return proven(c, func(context.Context, Measure) error {
		want, err := sizeOf(filepath.Join(backups, "shared_checksum"))
		if err != nil {
			return err
		}
		return holds(db, want)
	})
}

// LdbDump writes the records of a database into a file that ldb can load.
func (t Tools) LdbDump(ctx context.Context, db, dump string) error {
	path, missing := t.find("ldb")
	if missing != "" {
		return nil // LdbLoad says so
	}
	out, err := os.Create(dump)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "dump", "--hex", "--db="+db)
	cmd.Stdout = out
	return errors.Join(cmd.Run(), out.Close())
}

// LdbLoad loads such a file into a new database, without a log. As in the databases of
// the cases, nothing is compressed or compacted.
func (t Tools) LdbLoad(dump, db string) Contender {
	c := t.program("ldb", without(db), dump, nil, "load", "--hex", "--db="+db, "--create_if_missing", "--disable_wal",
		"--compression_type=no", "--auto_compaction=false")
	return proven(c, func(context.Context, Measure) error {
		info, err := os.Stat(dump)
		if err != nil {
			return err
		}
		return holds(db, info.Size()/3) // a byte is two digits, and each line has some more
	})
}

// Bucket is where S3 clients work.
type Bucket struct {
	Endpoint, Region, Name, AccessKey, SecretKey string

	Root string // folder in which the server keeps the objects
}

func (b Bucket) rcloneEnv(folder string) []string {
	return []string{
		"RCLONE_CONFIG=" + filepath.Join(folder, "rclone.conf"), "RCLONE_CACHE_DIR=" + folder,
		"RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Other", "RCLONE_CONFIG_S3_ENDPOINT=" + b.Endpoint,
		"RCLONE_CONFIG_S3_REGION=" + b.Region, "RCLONE_CONFIG_S3_ACCESS_KEY_ID=" + b.AccessKey, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=" + b.SecretKey,
	}
}

func (b Bucket) resticEnv(folder, prefix string) []string {
	return []string{
		"RESTIC_REPOSITORY=s3:" + b.Endpoint + "/" + b.Name + "/" + prefix, "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + filepath.Join(folder, "cache"),
		"AWS_ACCESS_KEY_ID=" + b.AccessKey, "AWS_SECRET_ACCESS_KEY=" + b.SecretKey, "AWS_DEFAULT_REGION=" + b.Region,
	}
}

// RcloneCopy uploads a closed database to a free prefix of a bucket with four
// transfers at a time and with checksums, which are rclone's defaults. folder is for
// its own files.
func (t Tools) RcloneCopy(db string, b Bucket, prefix, folder string) Contender {
	before := without(filepath.Join(b.Root, prefix))
	c := t.program("rclone", before, "", b.rcloneEnv(folder), "copy", "--transfers", "4", db, "s3:"+b.Name+"/"+prefix)
	return asLarge(c, filepath.Join(b.Root, prefix), db)
}

// RcloneFetch downloads what [Tools.RcloneCopy] has uploaded. Nothing is synced.
func (t Tools) RcloneFetch(b Bucket, prefix, target, folder string) Contender {
	c := t.program("rclone", without(target), "", b.rcloneEnv(folder), "copy", "--transfers", "4", "s3:"+b.Name+"/"+prefix, target)
	return asLarge(c, target, filepath.Join(b.Root, prefix))
}

// ResticBackup backs a closed database up into a fresh repository below a prefix of a
// bucket. Compression is off: who wants it has it in the tables. The key is made, and
// the repository, before. folder is for its own files.
func (t Tools) ResticBackup(db string, b Bucket, prefix, folder string) Contender {
	repository := filepath.Join(b.Root, prefix)
	c := t.program("restic", nil, "", b.resticEnv(folder, prefix), "backup", "--compression", "off", db)
	c.Before = func(ctx context.Context) error {
		if err := without(repository, filepath.Join(folder, "cache"))(ctx); err != nil {
			return err
		}
		path, _ := t.find("restic")
		_, err := run(ctx, nil, b.resticEnv(folder, prefix), path, "init")
		return err
	}
	return asLarge(c, repository, db)
}

// ResticRestore restores what [Tools.ResticBackup] has backed up, below the full path
// that the database had. Nothing is synced.
func (t Tools) ResticRestore(db string, b Bucket, prefix, target, folder string) Contender {
	c := t.program("restic", without(target), "", b.resticEnv(folder, prefix), "restore", "latest", "--target", target)
	return asLarge(c, target, db)
}
